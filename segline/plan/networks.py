"""The network part of a plan."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from segline.plan.part import Part, Voxels


class UNet(Part):
    """A MONAI ``UNet`` with residual units."""

    name: Literal["unet"] = "unet"
    channels: tuple[PositiveInt, ...] = Field(min_length=2)
    strides: tuple[Voxels, ...]
    """One down-sampling between two levels each."""
    residual_units: int = Field(default=2, ge=0)
    norm: Literal["batch", "instance"] = "batch"
    members: PositiveInt = Field(default=1, exclude_if=lambda members: bool(members == 1))
    """Networks, each trained on a fold, whose class scores are averaged. One is left out of the digest."""
    seeds: PositiveInt = Field(default=1, exclude_if=lambda seeds: bool(seeds == 1))
    """Networks that one training makes, each from a seed of its own and for the whole schedule.

    Their class scores are averaged too. One is left out of the plan's digest.
    """

    @model_validator(mode="after")
    def _one_stride_between_levels(self) -> "UNet":
        if len(self.strides) != len(self.channels) - 1:
            raise ValueError(f"{len(self.channels)} levels need {len(self.channels) - 1} strides")
        return self

    @property
    def count(self) -> int:
        """Networks whose class scores are averaged."""
        return self.members * self.seeds

    @property
    def total_stride(self) -> tuple[int, int, int]:
        """Spatial sizes must be multiples of this, voxels."""
        x = y = z = 1
        for stride in self.strides:
            x, y, z = x * stride[0], y * stride[1], z * stride[2]
        return x, y, z
