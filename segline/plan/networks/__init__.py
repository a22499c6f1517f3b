"""Networks by name: what each is made of, and what it demands of windows.

One more is one module and one name in :data:`Network`. Each has the methods of :class:`Architecture`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field

from segline.plan.networks.architecture import Architecture
from segline.plan.networks.classifiers import DenseNet121, EfficientNet, ResNet
from segline.plan.networks.segresnet import SegResNet
from segline.plan.networks.unet import UNet


def _named(settings: Any) -> Any:
    """Settings without a name are a UNet's, the first that there was."""
    return {"name": "unet", **settings} if isinstance(settings, dict) else settings


Network = Annotated[
    UNet | SegResNet | DenseNet121 | EfficientNet | ResNet,
    Field(discriminator="name"),
    BeforeValidator(_named),
]

NETWORKS: Mapping[str, Any] = {
    each.model_fields["name"].default: each for each in get_args(get_args(Network)[0])
}
"""By the name that a task gives."""

__all__ = [
    "NETWORKS",
    "Architecture",
    "DenseNet121",
    "EfficientNet",
    "Network",
    "ResNet",
    "SegResNet",
    "UNet",
]
