"""Networks by name: what each is made of, what it answers, and what it demands of windows.

One more is one module and one name in :data:`Network`. Each is an :class:`Architecture`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field

from segline.plan.networks.architecture import Architecture
from segline.plan.networks.attention import AttentionUnet
from segline.plan.networks.classifiers import DenseNet, EfficientNet, ResNet
from segline.plan.networks.dynunet import DynUNet
from segline.plan.networks.fixed import BasicUNet, HighResNet, VNet
from segline.plan.networks.segresnet import SegResNet
from segline.plan.networks.swin import SwinUNETR
from segline.plan.networks.unet import UNet


def _named(settings: Any) -> Any:
    """Settings without a name are a UNet's, the first that there was."""
    return {"name": "unet", **settings} if isinstance(settings, dict) else settings


_Segmenter = UNet | SegResNet | DynUNet | AttentionUnet | BasicUNet | VNet | HighResNet | SwinUNETR
_Classifier = DenseNet | EfficientNet | ResNet
Network = Annotated[_Segmenter | _Classifier, Field(discriminator="name"), BeforeValidator(_named)]

NETWORKS: Mapping[str, type[Architecture]] = {
    name: each
    for each in get_args(get_args(Network)[0])
    for name in get_args(each.model_fields["name"].annotation)
}
"""By the name that a task gives; some classes have several."""

__all__ = [
    "NETWORKS",
    "Architecture",
    "AttentionUnet",
    "BasicUNet",
    "DenseNet",
    "DynUNet",
    "EfficientNet",
    "HighResNet",
    "Network",
    "ResNet",
    "SegResNet",
    "SwinUNETR",
    "UNet",
    "VNet",
]
