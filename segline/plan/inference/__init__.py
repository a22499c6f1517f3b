"""The inference part of a plan."""

from pydantic import Field, NonNegativeInt, model_validator

from segline.plan.inference.blending import Blending
from segline.plan.part import Part, Voxels


class Inference(Part):
    """How windows become one answer."""

    smallest_window: Voxels
    largest_window: Voxels
    """A volume is cut into the fewest windows of at most this size, or padded to the smallest.

    One and the same for a network with InstanceNorm, whose answer depends on the window.
    """
    overlap: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]
    """Least overlap of two windows, voxels."""
    batch_size: int = Field(default=4, ge=1, le=4096)
    blending: Blending = "gaussian"
    keep_largest: tuple[int, ...] | None = Field(
        default=None, max_length=256, exclude_if=lambda labels: labels is None
    )
    """Values of the labels of which only the largest connected component is kept.

    ``None`` lets the validation cases say at the end of a training of which, if of any; until then it is left
    out of the plan's digest.
    """

    @model_validator(mode="after")
    def _windows_overlap(self) -> "Inference":
        edges = zip(self.overlap, self.smallest_window, self.largest_window, strict=True)
        if not all(overlap < small <= large for overlap, small, large in edges):
            raise ValueError("each edge: overlap < smallest_window <= largest_window")
        return self
