"""MONAI's UNet with residual units."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segline.plan.networks.architecture import Architecture, Stride
from segline.plan.part import Channels

FIRST_CHANNELS = 16
_MOST_LEVELS = 10
_MAPS_A_LEVEL = 26
"""Feature maps of each channel of a level that a training step keeps, forward and backward."""


_Stride = Annotated[int, Field(ge=1, le=16)]


class UNet(Architecture):
    """A MONAI ``UNet`` with residual units."""

    name: Literal["unet"] = "unet"
    channels: tuple[Channels, ...] = Field(min_length=2, max_length=_MOST_LEVELS)
    strides: tuple[tuple[_Stride, _Stride, _Stride], ...]
    """One down-sampling between two levels each."""
    residual_units: int = Field(default=2, ge=0, le=16)
    norm: Literal["batch", "instance"] = "batch"

    @model_validator(mode="after")
    def _one_stride_between_levels(self) -> "UNet":
        if len(self.strides) != len(self.channels) - 1:
            raise ValueError(f"{len(self.channels)} levels need {len(self.channels) - 1} strides")
        return self

    @property
    def total_stride(self) -> Stride:
        """Spatial sizes must be multiples of this, voxels."""
        x = y = z = 1
        for stride in self.strides:
            x, y, z = x * stride[0], y * stride[1], z * stride[2]
        return x, y, z

    @property
    def has_instance_norm(self) -> bool:
        """Its statistics are of the window."""
        return self.norm == "instance"

    @property
    def words(self) -> str:
        """In words, for reports."""
        strides = ", ".join(" × ".join(map(str, stride)) for stride in self.strides)
        return (
            f"{self.name}, {'–'.join(map(str, self.channels))} channels, strides {strides}, "
            f"{self.residual_units} residual units, {self.norm} norm"
        )

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.UNet`` and its arguments."""
        return "UNet", {
            "spatial_dims": 3,
            "in_channels": channels,
            "out_channels": classes,
            "channels": list(self.channels),
            "strides": [list(stride) for stride in self.strides],
            "num_res_units": self.residual_units,
            "norm": self.norm,
        }

    def feature_floats(self, voxels: int) -> int:
        """Level by level: the first is already strided, the last is not strided again."""
        floats = 0
        for channels, (x, y, z) in zip(self.channels, [*self.strides, (1, 1, 1)], strict=True):
            voxels //= x * y * z
            floats += voxels * channels * _MAPS_A_LEVEL
        return floats

    @classmethod
    def proposed(cls, halvings: Stride, full_resolution: bool) -> dict[str, Any]:
        """A short axis joins at the deeper levels; the channels double from level to level."""
        levels = max(1, *halvings)
        strides = [tuple(2 if level >= levels - n else 1 for n in halvings) for level in range(levels)]
        if levels > 1 and full_resolution:
            strides[0] = (1, 1, 1)
        return {"channels": [FIRST_CHANNELS * 2**level for level in range(levels + 1)], "strides": strides}
