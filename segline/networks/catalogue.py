"""Networks: built from a plan, saved without code, and folded for inference."""

import copy
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.plan.plan import Plan

_BYTES_PER_FLOAT = 4
_SMALL_WINDOW_VOXELS = 10**6
"""Torch 2.13 on two cores, one window and a pair: 96x96x96 190 and 99 ms, 112x112x96 83 and 134 ms."""
_FEW_CHANNELS = 8
"""Torch 2.13 on two cores, BatchNorm there and back on 4x3x40x56x40: 13 ms channels last, 1.3 contiguous."""
_ACTIVATIONS_A_LEVEL = 26
"""Feature maps of each channel of a level that a training step keeps, forward and backward."""
_MAPS_A_CLASS = 5
"""Full-size maps of each class: scores, softmax, one-hot truth and their gradients."""
_MAPS_A_CHANNEL = 2
"""Full-size maps of each channel: the batch, and its copy with the channels last."""
_COPIES_OF_A_WEIGHT = 5
"""The weight, its gradient, AdamW's two moments and the moving average."""


def build_network(plan: Plan) -> nn.Module:
    """The plan's network with fresh weights: ``(B, C, X, Y, Z)`` to ``(B, K, X, Y, Z)`` class scores."""
    network = plan.network
    if network.count > 1:
        (one, *_) = plan.of_one_member().of_each_seed()
        return Ensemble([build_network(one) for _ in range(network.count)])
    from monai.networks.nets import UNet  # two seconds, which most stages need not pay

    return UNet(
        spatial_dims=3,
        in_channels=len(plan.channels),
        out_channels=len(plan.labels),
        channels=network.channels,
        strides=network.strides,  # type: ignore[arg-type]  # a stride an axis works too
        num_res_units=network.residual_units,
        norm=network.norm,
    )


class Ensemble(nn.Module):
    """Several networks as one: the mean of their class scores."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, windows: Tensor) -> Tensor:
        """``(B, C, x, y, z)`` to ``(B, K, x, y, z)``."""
        total: Tensor = self.members[0](windows)
        for member in self.members[1:]:
            total = total + member(windows)
        return total / len(self.members)


def separate(network: nn.Module) -> Sequence[nn.Module]:
    """The networks whose class scores ``network`` is the mean of; itself alone, where it is one."""
    return list(network.members) if isinstance(network, Ensemble) else [network]


def channels_last(network: nn.Module) -> nn.Module:
    """Lay out the weights channels last, in place: up to twice as fast on CPU, and what GPUs want for AMP."""
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def quicken(network: nn.Module) -> nn.Module:
    """Let layers that torch trains slowly on a CPU do the same faster, in place; the state dict stays."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm3d) and layer.num_features < _FEW_CHANNELS:
            layer.__class__ = _ContiguousBatchNorm
        elif isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
            layer.__class__ = _OneSlopePReLU
    return network


class _ContiguousBatchNorm(nn.BatchNorm3d):
    """Over few channels that come last, torch's has nothing to vectorise."""

    def forward(self, features: Tensor) -> Tensor:
        normed = super().forward(features.contiguous())
        return normed.contiguous(memory_format=torch.channels_last_3d)


class _OneSlopePReLU(nn.PReLU):
    """Torch's computes and keeps the slope's gradient voxel by voxel before it adds them up."""

    def forward(self, features: Tensor) -> Tensor:
        activated: Tensor = _OneSlope.apply(features, self.weight)
        return activated


class _OneSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(features, slope)
        return functional.leaky_relu(features, float(slope))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        features, slope = ctx.saved_tensors
        to_slope = (features.clamp(max=0) * gradient).sum(dtype=slope.dtype).view_as(slope)
        to_features = torch.ops.aten.leaky_relu_backward(gradient, features, float(slope), False)
        return to_features, to_slope


def infer(network: nn.Module, windows: Tensor) -> Tensor:
    """Class scores ``(B, K, x, y, z)`` of ``windows`` ``(B, C, x, y, z)``, without gradients.

    On a CPU a single small window goes as a pair: torch convolves a batch of one many times slower.
    """
    small = windows[0, 0].numel() <= _SMALL_WINDOW_VOXELS
    pair = len(windows) == 1 and small and windows.device.type == "cpu"
    batch = windows.expand(2, *windows.shape[1:]) if pair else windows
    # TF32 keeps ten bits of a float: too few for the answer of every other backend
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        scores: Tensor = network(batch.contiguous(memory_format=torch.channels_last_3d))
    return scores[:1] if pair else scores


def training_bytes(plan: Plan) -> int:
    """Estimate of the bytes that one float32 training step allocates.

    The constants were fitted to the growth of ``ru_maxrss`` over two steps on a CPU, torch 2.13: patches of
    48, 64, 96 and 128 voxels, 8 to 256 channels, 2 to 8 classes, 0 to 2 residual units, one process each.
    The estimate was 0.8 to 1.9 times what was measured. Half precision on a GPU needs less.
    """
    x, y, z = plan.training.patch_size
    voxels = plan.training.batch_size * x * y * z
    floats = voxels * (_MAPS_A_CLASS * len(plan.labels) + _MAPS_A_CHANNEL * len(plan.channels))
    # the first level is already strided; the last one is not strided again
    for channels, (sx, sy, sz) in zip(plan.network.channels, [*plan.network.strides, (1, 1, 1)], strict=True):
        voxels //= sx * sy * sz
        floats += voxels * channels * _ACTIVATIONS_A_LEVEL
    with torch.device("meta"):
        weights = sum(weight.numel() for weight in build_network(plan).parameters())
    return (floats + weights * _COPIES_OF_A_WEIGHT) * _BYTES_PER_FLOAT


def save_weights(path: Path, state: dict[str, Tensor], plan: Plan) -> None:
    """Write a state dict and its plan's digest, atomically and with the same bytes every time."""
    buffer = io.BytesIO()  # given a path, torch would write its name into the file
    torch.save({"plan_digest": plan.digest, "state": state}, buffer)
    with atomic.new_file(path) as scratch:
        scratch.write_bytes(buffer.getvalue())


def load_network(path: Path, plan: Plan) -> nn.Module:
    """Build the plan's network with the weights of ``path``, ready for inference on the CPU.

    Raises:
        SeglineError: not a weights file, of a model made under another plan, or without the weights of its
            network.
    """
    stored = _read(path)
    if stored["plan_digest"] != plan.digest:
        raise SeglineError(
            f"{path}: trained under plan {str(stored['plan_digest'])[:12]}, the plan given is "
            f"{plan.digest[:12]}; use the plan.json that lies beside the weights"
        )
    network = build_network(plan)
    try:
        network.load_state_dict(stored["state"])
    except (RuntimeError, TypeError) as error:
        raise SeglineError(f"{path}: the weights do not fit the plan's network; train again") from error
    return network.eval()


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode in which every BatchNorm is part of the convolution before it.

    The same function to rounding, with fewer layers; a network without BatchNorm stays as it is.
    """
    folded = copy.deepcopy(network).eval()
    for block in folded.modules():
        _fold_block(block)
    return folded


def _fold_block(block: Any) -> None:
    """Fold the norm of a MONAI ``Convolution`` block (``conv``, then ``adn`` with the norm ``N``)."""
    norm = getattr(getattr(block, "adn", None), "N", None)
    if isinstance(norm, nn.BatchNorm3d):
        transposed = isinstance(block.conv, nn.ConvTranspose3d)
        block.conv = fuse_conv_bn_eval(block.conv, norm, transpose=transposed)
        block.adn.N = nn.Identity()


def _read(path: Path) -> dict[str, Any]:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything from OSError to UnpicklingError here
        raise SeglineError(
            f"{path}: not a readable weights file ({type(error).__name__}); train again"
        ) from error
    if not isinstance(stored, dict) or not {"plan_digest", "state"} <= stored.keys():
        raise SeglineError(f"{path}: not a segline weights file; give the weights.pt of a model package")
    return stored
