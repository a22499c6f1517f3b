"""MONAI's DenseNet, EfficientNet and ResNet: class scores of a whole window, in 2-D or 3-D."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from segline.plan.networks.architecture import Answers, Architecture, Stride

_HALVED = 32


class Classifier(Architecture):
    """A network that ends in the mean over its window: of an image in 2-D, of a volume in 3-D; BatchNorm."""

    answers: ClassVar[Answers] = "classes"
    maps: ClassVar[Mapping[str, tuple[int, int]]]
    """By name, full-size feature maps that a training step keeps, forward and backward: in 2-D, in 3-D."""
    name: str
    spatial_dims: Literal[2, 3] = 3
    """2 for images: volumes one voxel thick along the third axis."""

    @property
    def total_stride(self) -> Stride:
        """Spatial sizes must be multiples of this, voxels."""
        return _HALVED, _HALVED, 1 if self.is_flat else _HALVED

    @property
    def is_flat(self) -> bool:
        """Whether it sees images, which are windows one voxel thick along the third axis."""
        return self.spatial_dims == 2

    @property
    def needs_fixed_window(self) -> bool:
        """It answers for the whole of its window."""
        return True

    @property
    def words(self) -> str:
        """In words, for reports."""
        return f"{self.name} in {self.spatial_dims}-D, batch norm"

    def feature_floats(self, voxels: int) -> int:
        """Most of it is of the two finest levels."""
        flat, deep = self.maps[self.name]
        return voxels * (flat if self.is_flat else deep)


class DenseNet(Classifier):
    """A MONAI ``DenseNet121`` or a deeper one (Huang et al., CVPR 2017); the name says its depth."""

    name: Literal["densenet121", "densenet169", "densenet201"] = "densenet121"
    maps: ClassVar[Mapping[str, tuple[int, int]]] = {
        "densenet121": (1168, 204),
        "densenet169": (1412, 217),
        "densenet201": (1823, 242),
    }

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.DenseNet121``, or a deeper one, and its arguments."""
        return self.name.replace("densenet", "DenseNet"), {
            "spatial_dims": self.spatial_dims,
            "in_channels": channels,
            "out_channels": classes,
        }


_EfficientNets = Literal[
    "efficientnet-b0",
    "efficientnet-b1",
    "efficientnet-b2",
    "efficientnet-b3",
    "efficientnet-b4",
    "efficientnet-b5",
    "efficientnet-b6",
    "efficientnet-b7",
]


class EfficientNet(Classifier):
    """A MONAI ``EfficientNetBN`` (Tan and Le, ICML 2019), from fresh weights; the name says its size.

    Its BatchNorm forgets at torch's usual rate: at the paper's, a tenth of it, the statistics of a training
    of some hundred steps would be those of its beginning.
    """

    name: _EfficientNets = "efficientnet-b0"
    maps: ClassVar[Mapping[str, tuple[int, int]]] = {
        "efficientnet-b0": (814, 226),
        "efficientnet-b1": (1137, 299),
        "efficientnet-b2": (1195, 307),
        "efficientnet-b3": (1581, 416),
        "efficientnet-b4": (2094, 510),
        "efficientnet-b5": (2884, 677),
        "efficientnet-b6": (3696, 861),
        "efficientnet-b7": (4962, 1118),
    }

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.EfficientNetBN`` and its arguments."""
        return "EfficientNetBN", {
            "model_name": self.name,
            "pretrained": False,
            "spatial_dims": self.spatial_dims,
            "in_channels": channels,
            "num_classes": classes,
            "norm": ["batch", {"eps": 1e-3, "momentum": 0.1}],
        }


class ResNet(Classifier):
    """A MONAI ``resnet18`` or of another depth (He et al., CVPR 2016), which its name says."""

    name: Literal["resnet10", "resnet18", "resnet34", "resnet50", "resnet101"] = "resnet18"
    maps: ClassVar[Mapping[str, tuple[int, int]]] = {
        "resnet10": (141, 46),
        "resnet18": (196, 56),
        "resnet34": (286, 69),
        "resnet50": (768, 150),
        "resnet101": (1137, 173),
    }

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.resnet18``, or of another depth, and its arguments."""
        return self.name, {
            "spatial_dims": self.spatial_dims,
            "n_input_channels": channels,
            "num_classes": classes,
            "conv1_t_stride": 2,  # as in the paper; MONAI's default is 1
        }
