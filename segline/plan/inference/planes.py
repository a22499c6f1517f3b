"""Where two labels end and begin at one plane, as raters part them slice by slice."""

from collections.abc import Sequence
from statistics import fmean
from typing import Annotated, Literal

from pydantic import Field, model_validator

from segline.plan.part import Label, Part, Share

POINTS = 16
"""Of a centre line."""
MEASURES = 1 + 3 * POINTS
"""Of a centre line: what :func:`segline.inference.planes.centre_line` gives."""
_Number = Annotated[float, Field(ge=-1e6, le=1e6)]


class CentreLine(Part):
    """Where a plane lies as the centre line of its two labels tells, which bends as their raters know it.

    A linear function of the line's measures, learned from the label maps of a training.
    """

    start: _Number
    """Voxels from the labels' centre to the plane where all measures are zero."""
    weights: tuple[_Number, ...] = Field(min_length=MEASURES, max_length=MEASURES)
    """Voxels for each measure."""
    share: Share
    """How much it counts; the rest is what the network says, voxel by voxel."""

    @classmethod
    def mean_of(cls, lines: Sequence["CentreLine | None"]) -> "CentreLine | None":
        """What several tell of one plane; where there is none, it counts nothing."""
        known = [line for line in lines if line]
        if not known:
            return None
        return cls(
            start=fmean(line.start for line in known),
            weights=tuple(map(fmean, zip(*(line.weights for line in known), strict=True))),
            share=sum(line.share for line in known) / len(lines),
        )


class Plane(Part):
    """Below a plane across an axis there is one of two labels, from there on the other.

    Where the plane lies is found in each volume anew.
    """

    axis: Literal["x", "y", "z"]
    """Of the plan's grid: x goes to the patient's right, y to the front, z to the head."""
    lower: Label
    """Value of the label at the axis's beginning."""
    upper: Label
    centre_line: CentreLine | None = Field(default=None, exclude_if=lambda line: line is None)
    """What tells its place besides; ``None`` leaves it to the network."""

    def told_by(self, line: CentreLine | None) -> "Plane":
        """The same plane, with what tells its place besides the network."""
        return self.model_copy(update={"centre_line": line})

    @model_validator(mode="after")
    def _of_two(self) -> "Plane":
        if self.lower == self.upper:
            raise ValueError(f"a plane parts two labels, not {self.lower} from itself")
        return self
