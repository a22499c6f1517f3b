"""MONAI's AttentionUnet (Oktay et al., Attention U-Net, MIDL 2018)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from segline.plan.networks.architecture import Architecture, Stride

_MAPS_A_CHANNEL = 24
"""Feature maps of each channel of a level that a training step keeps, forward and backward."""
_Channels = Annotated[int, Field(ge=2, le=4096)]
"""Of a level; a gate has half as many."""


class AttentionUnet(Architecture):
    """A MONAI ``AttentionUnet``: what crosses from the way down is gated by what comes up; all in 3-D.

    BatchNorm, but for what merges both ways, where MONAI has InstanceNorm.
    """

    name: Literal["attention_unet"] = "attention_unet"
    channels: tuple[_Channels, ...] = Field(default=(16, 32, 64, 128), min_length=2, max_length=8)
    """Of each level, half as fine as the one before."""

    @property
    def total_stride(self) -> Stride:
        """Spatial sizes must be multiples of this, voxels."""
        halved: int = 2 ** (len(self.channels) - 1)
        return halved, halved, halved

    @property
    def needs_fixed_window(self) -> bool:
        """InstanceNorm's statistics are of the window."""
        return True

    @property
    def words(self) -> str:
        """In words, for reports."""
        return f"{self.name}, {'–'.join(map(str, self.channels))} channels, batch and instance norm"

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.AttentionUnet`` and its arguments."""
        return "AttentionUnet", {
            "spatial_dims": 3,
            "in_channels": channels,
            "out_channels": classes,
            "channels": list(self.channels),
            "strides": [2] * (len(self.channels) - 1),
        }

    def feature_floats(self, voxels: int) -> int:
        """Level by level."""
        return sum(voxels // 8**level * n * _MAPS_A_CHANNEL for level, n in enumerate(self.channels))

    @classmethod
    def proposed(cls, halvings: Stride, full_resolution: bool) -> dict[str, Any]:  # noqa: ARG003
        """As many levels as the shortest axis bears: all axes are halved alike."""
        return {"channels": [16 * 2**level for level in range(max(2, min(halvings) + 1))]}
