"""MONAI's SwinUNETR (Hatamizadeh et al., Swin UNETR, BrainLes 2021)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from segline.plan.networks.architecture import Architecture, Stride

_HALVINGS = 5
_MAPS_A_FEATURE = 24
"""Full-size feature maps of each feature that a training step keeps, forward and backward."""
_MAPS_A_BLOCK, _MAPS_A_FEATURE_OF_A_BLOCK = 230, 5
"""Of each block of the finest level: attention, whatever the features, and the rest."""
_Blocks = Annotated[int, Field(ge=1, le=32)]


class SwinUNETR(Architecture):
    """A MONAI ``SwinUNETR``: shifted-window attention on the way down, convolutions on the way up; in 3-D.

    Its attention masks are made for one size of window: the exported graph takes patches of the training
    alone, in batches of any size.
    """

    name: Literal["swin_unetr"] = "swin_unetr"
    feature_size: int = Field(default=24, ge=12, le=768, multiple_of=12)
    """Channels of the finest level, doubled from level to level."""
    depths: tuple[_Blocks, _Blocks, _Blocks, _Blocks] = (2, 2, 2, 2)
    """Transformer blocks of each level, the finest first; every second one shifts its windows."""

    @property
    def total_stride(self) -> Stride:
        """Spatial sizes must be multiples of this, voxels."""
        halved: int = 2**_HALVINGS
        return halved, halved, halved

    @property
    def has_instance_norm(self) -> bool:
        """Its statistics are of the window."""
        return True

    @property
    def needs_fixed_graph(self) -> bool:
        """Where attention is masked depends on the size."""
        return True

    @property
    def words(self) -> str:
        """In words, for reports."""
        blocks = "–".join(map(str, self.depths))
        return f"{self.name}, {self.feature_size} features at first, {blocks} blocks, instance norm"

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """``monai.networks.nets.SwinUNETR`` and its arguments."""
        return "SwinUNETR", {
            "in_channels": channels,
            "out_channels": classes,
            "feature_size": self.feature_size,
            "depths": list(self.depths),
        }

    def feature_floats(self, voxels: int) -> int:
        """What crosses to the way up at full size, and each level's blocks, a third of those before."""
        blocks = sum(depth / 3**level for level, depth in enumerate(self.depths))
        a_block = _MAPS_A_BLOCK + _MAPS_A_FEATURE_OF_A_BLOCK * self.feature_size
        return int(voxels * (_MAPS_A_FEATURE * self.feature_size + blocks * a_block))
