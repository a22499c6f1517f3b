"""MONAI's DynUNet, the network of nnU-Net (Isensee et al., Nature Methods 2021)."""

from math import prod
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segline.plan.networks.architecture import Architecture, Stride
from segline.plan.networks.unet import UNet
from segline.plan.part import Channels

_MAPS_A_CHANNEL = 9
"""Feature maps of each channel of a level that a training step keeps, forward and backward."""
_NORMS = {"batch": "batch", "instance": ["instance", {"affine": True}]}
"""As MONAI spells them; nnU-Net's InstanceNorm has a scale and a shift."""
_Step = Annotated[int, Field(ge=1, le=16)]


class DynUNet(Architecture):
    """A MONAI ``DynUNet``: two convolutions a level, strides by axis; all in 3-D."""

    name: Literal["dynunet"] = "dynunet"
    channels: tuple[Channels, ...] = Field(min_length=3, max_length=10)
    strides: tuple[tuple[_Step, _Step, _Step], ...]
    """One down-sampling between two levels each."""
    norm: Literal["batch", "instance"] = "instance"
    residual: bool = False
    deep_supervision: bool = Field(default=False, exclude_if=lambda supervised: not supervised)
    """Learn from the answers of coarser levels too. They are no part of the weights that are shipped."""

    @model_validator(mode="after")
    def _one_stride_between_levels(self) -> "DynUNet":
        if len(self.strides) != len(self.channels) - 1:
            raise ValueError(f"{len(self.channels)} levels need {len(self.channels) - 1} strides")
        return self

    @property
    def total_stride(self) -> Stride:
        """Spatial sizes must be multiples of this, voxels."""
        x, y, z = map(prod, zip(*self.strides, strict=True))
        return x, y, z

    @property
    def has_instance_norm(self) -> bool:
        """Its statistics are of the window."""
        return self.norm == "instance"

    @property
    def heads(self) -> int:
        """All levels of the way up but the coarsest, as in nnU-Net; of three levels the one that there is."""
        return max(1, len(self.channels) - 3) if self.deep_supervision else 0

    @property
    def words(self) -> str:
        """In words, for reports."""
        strides = ", ".join(" × ".join(map(str, stride)) for stride in self.strides)
        blocks = "residual" if self.residual else "plain"
        supervised = f", trained with {self.heads} more heads" if self.heads else ""
        return (
            f"{self.name}, {'–'.join(map(str, self.channels))} channels, strides {strides}, "
            f"{blocks} blocks, {self.norm} norm{supervised}"
        )

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.DynUNet`` and its arguments."""
        strides = [list(stride) for stride in self.strides]
        return "DynUNet", {
            "spatial_dims": 3,
            "in_channels": channels,
            "out_channels": classes,
            "kernel_size": [3] * len(self.channels),
            "strides": [1, *strides],
            "upsample_kernel_size": strides,
            "filters": list(self.channels),
            "norm_name": _NORMS[self.norm],
            "res_block": self.residual,
        }

    def monai_to_train(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """The same with its ``heads``, each enlarged to the windows' size."""
        name, arguments = self.monai(channels, classes)
        if self.heads:
            arguments |= {"deep_supervision": True, "deep_supr_num": self.heads}
        return name, arguments

    def feature_floats(self, voxels: int) -> int:
        """Level by level; the way up keeps as much as the way down."""
        floats = 0
        for channels, stride in zip(self.channels, [(1, 1, 1), *self.strides], strict=True):
            voxels //= prod(stride)
            floats += 2 * voxels * channels * _MAPS_A_CHANNEL
        return floats

    @classmethod
    def proposed(cls, halvings: Stride, full_resolution: bool) -> dict[str, Any]:  # noqa: ARG003
        """A short axis joins at the deeper levels, as in the UNet; channels double from level to level."""
        strides = UNet.proposed(halvings, full_resolution=False)["strides"]
        strides = [*strides, *[(1, 1, 1)] * (2 - len(strides))]
        return {"channels": [16 * 2**level for level in range(len(strides) + 1)], "strides": strides}
