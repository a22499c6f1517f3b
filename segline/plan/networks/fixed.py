"""MONAI's BasicUNet, VNet and HighResNet, whose levels are not for a plan to choose."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from segline.plan.networks.architecture import Architecture, Stride
from segline.plan.part import Channels

_VNET_CHANNELS = 16


class _Fixed(Architecture):
    """A network of given levels; each axis is halved as often."""

    halved: ClassVar[int]

    @property
    def total_stride(self) -> Stride:
        """Spatial sizes must be multiples of this, voxels."""
        return self.halved, self.halved, self.halved


class BasicUNet(_Fixed):
    """A MONAI ``BasicUNet``: five levels of two convolutions (Falk et al., Nature Methods 2019), in 3-D."""

    name: Literal["basic_unet"] = "basic_unet"
    features: tuple[Channels, Channels, Channels, Channels, Channels, Channels] = (16, 16, 32, 64, 128, 16)
    """Channels of the five levels, the finest first, and of the last convolutions."""
    norm: Literal["batch", "instance"] = "batch"
    halved: ClassVar[int] = 16
    maps_a_channel: ClassVar[int] = 24
    """Feature maps of each channel of a level that a training step keeps, forward and backward."""

    @property
    def has_instance_norm(self) -> bool:
        """Its statistics are of the window."""
        return self.norm == "instance"

    @property
    def words(self) -> str:
        """In words, for reports."""
        return f"{self.name}, {'–'.join(map(str, self.features))} channels, {self.norm} norm"

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.BasicUNet`` and its arguments."""
        return "BasicUNet", {
            "spatial_dims": 3,
            "in_channels": channels,
            "out_channels": classes,
            "features": list(self.features),
            "norm": self.norm,
        }

    def feature_floats(self, voxels: int) -> int:
        """Level by level; the way up keeps as much as the way down."""
        levels = enumerate(self.features[:5])
        return sum(voxels // 8**level * channels * self.maps_a_channel for level, channels in levels)


class VNet(_Fixed):
    """A MONAI ``VNet`` (Milletari et al., V-Net, 3DV 2016) without dropout, with BatchNorm, in 3-D.

    It adds the image to its first 16 feature maps: of 1, 2, 4, 8 or 16 channels alone.
    """

    name: Literal["vnet"] = "vnet"
    halved: ClassVar[int] = 16
    maps_a_channel: ClassVar[int] = 24
    """Feature maps of each channel of a level that a training step keeps, forward and backward."""

    @property
    def words(self) -> str:
        """In words, for reports."""
        return f"{self.name}, 16–32–64–128–256 channels, batch norm"

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.VNet`` and its arguments."""
        return "VNet", {
            "spatial_dims": 3,
            "in_channels": channels,
            "out_channels": classes,
            "dropout_prob_down": None,
            "dropout_prob_up": [None, 0.0],
        }

    def fault_of(self, channels: int) -> str:
        """It repeats them up to 16."""
        return f"its first {_VNET_CHANNELS} feature maps do not divide by them" if 16 % channels else ""

    def feature_floats(self, voxels: int) -> int:
        """Level by level; the way up keeps as much as the way down."""
        channels = [_VNET_CHANNELS * 2**level for level in range(5)]
        return sum(voxels // 8**level * n * self.maps_a_channel for level, n in enumerate(channels))


_Repeats = Annotated[int, Field(ge=1, le=32)]


class HighResNet(_Fixed):
    """A MONAI ``HighResNet``: dilated residual blocks, never strided (Li et al., IPMI 2017), in 3-D.

    Everything stays at full resolution: slow, and large in memory. Leaky, because MONAI's last layer has an
    activation too: where a ReLU gives all classes 0, none of them would learn.
    """

    name: Literal["highresnet"] = "highresnet"
    repeats: _Repeats = 3
    """Residual blocks of each dilation."""
    halved: ClassVar[int] = 1
    maps_a_channel: ClassVar[int] = 6
    """Feature maps of each channel of a block that a training step keeps, forward and backward."""

    @property
    def words(self) -> str:
        """In words, for reports."""
        return f"{self.name}, 16–32–64 channels, {self.repeats} blocks of each dilation, batch norm"

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.HighResNet`` and its arguments."""
        blocks = [
            {"name": f"res_{level}", "n_features": 16 * 2**level, "kernels": [3, 3], "repeat": self.repeats}
            for level in range(3)
        ]
        return "HighResNet", {
            "spatial_dims": 3,
            "in_channels": channels,
            "out_channels": classes,
            "acti_type": ["leakyrelu", {"inplace": True}],
            "layer_params": [
                {"name": "conv_0", "n_features": 16, "kernel_size": 3},
                *blocks,
                {"name": "conv_1", "n_features": 80, "kernel_size": 1},
                {"name": "conv_2", "kernel_size": 1},
            ],
        }

    def feature_floats(self, voxels: int) -> int:
        """All at full resolution."""
        return voxels * (16 + 80 + (16 + 32 + 64) * self.repeats) * self.maps_a_channel
