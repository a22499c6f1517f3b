"""Networks: built from a plan, saved without code, and folded for inference."""

from torch import nn

from segline.networks.ensemble import Ensemble
from segline.plan import Plan


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
