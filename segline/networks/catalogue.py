"""The catalogue: networks built from a plan, with fresh weights."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from segline.networks.ensemble import Ensemble
from segline.plan import Plan

_HEADS = {"deep_supervision_heads", "super_head"}
"""As MONAI's DynUNet calls them, under two names."""


class Flat(nn.Module):
    """A network of images that is given volumes one voxel thick."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> Tensor:
        """``(B, C, x, y, 1)`` to what the network makes of ``(B, C, x, y)``."""
        scores: Tensor = self.network(windows.squeeze(4))
        return scores


def build_network(plan: Plan) -> nn.Module:
    """The plan's network with fresh weights: ``(B, C, X, Y, Z)`` to class scores.

    They are ``(B, K, X, Y, Z)`` or ``(B, K)``, whichever the network's settings say that it answers.
    """
    if plan.ensemble.count > 1:
        (one, *_) = plan.of_one_member().of_each_seed()
        return Ensemble([build_network(one) for _ in range(plan.ensemble.count)])
    return _built(plan, *plan.network.monai(len(plan.channels), len(plan.labels)))


def build_without_memory(plan: Plan) -> nn.Module:
    """The same, but its weights have shapes alone."""
    with torch.device("meta"), _NumbersStay():
        return build_network(plan)


class _NumbersStay(TorchFunctionMode):
    """MONAI's SwinUNETR reads numbers out of a tensor while it is built, of which there would be none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        device = {"device": "cpu"} if func is torch.linspace else {}
        return func(*args, **device, **(kwargs or {}))


def build_network_to_train(plan: Plan) -> nn.Module:
    """The same of one network, with the heads of deep supervision that its settings ask for.

    In training mode it gives ``(B, 1 + heads, K, X, Y, Z)``, the finest first, where there are any.
    """
    return _built(plan, *plan.network.monai_to_train(len(plan.channels), len(plan.labels)))


def shipped_weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the state dict on the CPU, without heads: that of the plan's network.

    MONAI's DynUNet has each layer under two names; they share the copy, and so their place in a file.
    """
    copies: dict[int, Tensor] = {}
    weights = {}
    for name, value in network.state_dict(keep_vars=True).items():
        if not _HEADS & set(name.split(".")):
            if id(value) not in copies:
                copies[id(value)] = value.detach().cpu().clone()
            weights[name] = copies[id(value)]
    return weights


def _built(plan: Plan, name: str, arguments: dict[str, Any]) -> nn.Module:
    from segline.networks.lean_monai import monai  # two seconds, which most stages need not pay

    network: nn.Module = getattr(monai.networks.nets, name)(**arguments)
    return Flat(network) if plan.network.is_flat else network
