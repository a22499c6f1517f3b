"""The inference part of a plan."""

from typing import Any

from pydantic import Field, NonNegativeInt, model_validator

from segline.plan.inference.blending import Blending
from segline.plan.inference.planes import Plane
from segline.plan.part import Part, Voxels


class Inference(Part):
    """How windows become one answer."""

    smallest_window: Voxels
    largest_window: Voxels
    """A volume is cut into the fewest windows of at most this size, or padded to the smallest.

    One and the same for a network with InstanceNorm, whose answer depends on the window.
    """
    overlap: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]
    """Least overlap of two windows, voxels; a task may give it as a share of the smallest window, as 0.5."""
    batch_size: int = Field(default=4, ge=1, le=4096)
    blending: Blending = "gaussian"
    keep_largest: tuple[int, ...] | None = Field(
        default=None, max_length=256, exclude_if=lambda labels: labels is None
    )
    """Values of the labels of which only the largest connected component is kept.

    ``None`` lets the validation cases say at the end of a training of which, if of any; until then it is left
    out of the plan's digest.
    """
    planes: tuple[Plane, ...] | None = Field(
        default=None, max_length=256, exclude_if=lambda planes: planes is None
    )
    """Which labels are parted by planes; ``None`` as of ``keep_largest``."""

    @model_validator(mode="before")
    @classmethod
    def _overlap_in_voxels(cls, values: Any) -> Any:
        """A share of the window, one for all axes or one each, is a whole number of voxels."""
        if not isinstance(values, dict) or "overlap" not in values or "smallest_window" not in values:
            return values
        given, window = values["overlap"], values["smallest_window"]
        along = [given] * 3 if isinstance(given, float) else given
        if not isinstance(along, list | tuple) or not any(isinstance(share, float) for share in along):
            return values
        voxels = [
            round(share * edge) if isinstance(share, float) and share < 1 else share
            for share, edge in zip(along, window, strict=True)
        ]
        return {**values, "overlap": voxels}

    @model_validator(mode="after")
    def _windows_overlap(self) -> "Inference":
        edges = zip(self.overlap, self.smallest_window, self.largest_window, strict=True)
        if not all(overlap < small <= large for overlap, small, large in edges):
            raise ValueError("each edge: overlap < smallest_window <= largest_window")
        return self
