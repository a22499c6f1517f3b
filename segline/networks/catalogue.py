"""The catalogue: networks built from a plan, with fresh weights."""

from torch import nn

from segline.networks.ensemble import Ensemble
from segline.plan import Plan


def build_network(plan: Plan) -> nn.Module:
    """The plan's network with fresh weights: ``(B, C, X, Y, Z)`` to ``(B, K, X, Y, Z)`` class scores."""
    if plan.ensemble.count > 1:
        (one, *_) = plan.of_one_member().of_each_seed()
        return Ensemble([build_network(one) for _ in range(plan.ensemble.count)])
    from monai.networks import nets  # two seconds, which most stages need not pay

    name, arguments = plan.network.monai(len(plan.channels), len(plan.labels))
    network: nn.Module = getattr(nets, name)(**arguments)
    return network
