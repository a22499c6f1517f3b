"""MONAI's SegResNet.

Myronenko, 3D MRI brain tumor segmentation using autoencoder regularization, BrainLes 2018.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from segline.plan.networks.architecture import Architecture, Stride

_GROUPS = 8
_MAPS_A_BLOCK = 10
"""Feature maps of each channel of a residual block that a training step keeps."""


_Blocks = Annotated[int, Field(ge=1, le=32)]


class SegResNet(Architecture):
    """A MONAI ``SegResNet``: residual blocks with GroupNorm, each level half as fine as the one before."""

    name: Literal["segresnet"] = "segresnet"
    first_channels: int = Field(default=16, ge=1, le=512, multiple_of=_GROUPS)
    """Doubled from level to level."""
    blocks_down: tuple[_Blocks, ...] = Field(default=(1, 2, 2, 4), min_length=1, max_length=8)
    """Residual blocks of each level, the finest first."""

    @property
    def total_stride(self) -> Stride:
        """Spatial sizes must be multiples of this, voxels."""
        halved: int = 2 ** (len(self.blocks_down) - 1)
        return halved, halved, halved

    @property
    def needs_fixed_window(self) -> bool:
        """GroupNorm's statistics are of the window."""
        return True

    @property
    def words(self) -> str:
        """In words, for reports."""
        blocks = "–".join(map(str, self.blocks_down))
        return f"{self.name}, {self.first_channels} channels at first, {blocks} blocks, group norm"

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.SegResNet`` and its arguments."""
        return "SegResNet", {
            "spatial_dims": 3,
            "init_filters": self.first_channels,
            "in_channels": channels,
            "out_channels": classes,
            "norm": ["GROUP", {"num_groups": _GROUPS}],
            "blocks_down": list(self.blocks_down),
            "blocks_up": [1] * (len(self.blocks_down) - 1),
        }

    def feature_floats(self, voxels: int) -> int:
        """Level by level; the way up has a block a level."""
        floats = 0
        for level, blocks in enumerate(self.blocks_down):
            floats += voxels // 8**level * self.first_channels * 2**level * (blocks + 1) * _MAPS_A_BLOCK
        return floats

    @classmethod
    def proposed(cls, halvings: Stride, full_resolution: bool) -> dict[str, Any]:  # noqa: ARG003
        """As many levels as the shortest axis bears: all axes are halved alike."""
        return {"blocks_down": [1, 2, 2, 4][: min(halvings) + 1]}
