"""The catalogue: networks built from a plan, with fresh weights."""

from torch import nn

from segline.networks.ensemble import Ensemble
from segline.networks.flat import Flat
from segline.plan import Plan


def build_network(plan: Plan) -> nn.Module:
    """The plan's network with fresh weights, from ``(B, C, X, Y, Z)`` to class scores.

    They are ``(B, K, X, Y, Z)``, or ``(B, K)`` where the answer is one class a window.
    """
    if plan.ensemble.count > 1:
        (one, *_) = plan.of_one_member().of_each_seed()
        return Ensemble([build_network(one) for _ in range(plan.ensemble.count)])
    from monai.networks import nets  # two seconds, which most stages need not pay

    name, arguments = plan.network.monai(len(plan.channels), len(plan.labels))
    network: nn.Module = getattr(nets, name)(**arguments)
    return Flat(network) if arguments["spatial_dims"] == 2 else network
