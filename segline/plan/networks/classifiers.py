"""Networks that answer with one class a window; what they are made of is fixed by their names."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from segline.plan.part import Part

STRIDE = 32
"""By which each of them has shrunk a window before it takes the mean."""
_BACKWARD = 1.3
"""Numbers of a training step to those that its forward half saves for the other."""


class Classifier(Part):
    """What they have in common."""

    answers: ClassVar[Literal["voxels", "classes"]] = "classes"
    spatial_dims: Literal[2, 3] = 3
    """2 for images of one slice."""

    @property
    def total_stride(self) -> tuple[int, int, int]:
        """Spatial sizes must be multiples of this, voxels."""
        return STRIDE, STRIDE, STRIDE if self.spatial_dims == 3 else 1

    @property
    def needs_fixed_window(self) -> bool:
        """The answer is of the window that it sees."""
        return True

    @property
    def first_convolutions(self) -> int:
        """The one that sees the windows."""
        return 1

    @property
    def _sizes(self) -> dict[str, int]:
        return {"spatial_dims": self.spatial_dims}

    @classmethod
    def proposed(cls, halvings: tuple[int, int, int], full_resolution: bool) -> dict[str, Any]:  # noqa: ARG003
        """Nothing: an axis that is not halved may be a short one."""
        return {}


class DenseNet121(Classifier):
    """Huang et al., Densely connected convolutional networks, CVPR 2017."""

    name: Literal["densenet121"] = "densenet121"

    @property
    def words(self) -> str:
        """In words, for reports."""
        return f"{self.name} in {self.spatial_dims} dimensions"

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.DenseNet121`` and its arguments."""
        return "DenseNet121", {**self._sizes, "in_channels": channels, "out_channels": classes}

    def feature_floats(self, voxels: int) -> int:
        """Saved for each voxel of 64x64, and of 64x64x64."""
        return int(voxels * _BACKWARD * (960 if self.spatial_dims == 2 else 166))


class EfficientNet(Classifier):
    """Tan and Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML 2019."""

    name: Literal["efficientnet"] = "efficientnet"
    scale: int = Field(default=0, ge=0, le=7)
    """The number after the B."""

    @property
    def words(self) -> str:
        """In words, for reports."""
        return f"{self.name} B{self.scale} in {self.spatial_dims} dimensions"

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.EfficientNetBN`` and its arguments; no weights are downloaded."""
        return "EfficientNetBN", {
            "model_name": f"efficientnet-b{self.scale}",
            "pretrained": False,
            **self._sizes,
            "in_channels": channels,
            "num_classes": classes,
        }

    def feature_floats(self, voxels: int) -> int:
        """Saved for each voxel of 64x64, and of 64x64x64, by B0; each number after it has about 1.5 times."""
        return int(voxels * _BACKWARD * (523 if self.spatial_dims == 2 else 125) * 1.5**self.scale)


class ResNet(Classifier):
    """He et al., Deep residual learning for image recognition, CVPR 2016."""

    name: Literal["resnet"] = "resnet"
    depth: Literal[10, 18, 34, 50] = 18

    @property
    def words(self) -> str:
        """In words, for reports."""
        return f"{self.name} of {self.depth} layers in {self.spatial_dims} dimensions"

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.resnet18`` and its like, and the arguments."""
        return f"resnet{self.depth}", {**self._sizes, "n_input_channels": channels, "num_classes": classes}

    def feature_floats(self, voxels: int) -> int:
        """Saved for each voxel of 64x64, and of 64x64x64, by 18 layers; of bottlenecks four times as many."""
        bottlenecks = 4 if self.depth == 50 else 1
        return int(voxels * _BACKWARD * (626 if self.spatial_dims == 2 else 350) * bottlenecks)
