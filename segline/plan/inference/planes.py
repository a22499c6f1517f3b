"""Where two labels end and begin at one plane, as raters part them slice by slice."""

from typing import Literal

from pydantic import model_validator

from segline.plan.part import Label, Part


class Plane(Part):
    """Below a plane across an axis there is one of two labels, from there on the other.

    Where the plane lies is found in each volume anew.
    """

    axis: Literal["x", "y", "z"]
    """Of the plan's grid: x goes to the patient's right, y to the front, z to the head."""
    lower: Label
    """Value of the label at the axis's beginning."""
    upper: Label

    @model_validator(mode="after")
    def _of_two(self) -> "Plane":
        if self.lower == self.upper:
            raise ValueError(f"a plane parts two labels, not {self.lower} from itself")
        return self
