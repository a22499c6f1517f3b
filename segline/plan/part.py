"""What every part of a plan is: frozen, with no field that is not known."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

Voxels = tuple[PositiveInt, PositiveInt, PositiveInt]
Spacing = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
SEGMENTATION = "segmentation"
"""The first kind of task that there was; plans and tasks that name none are of it."""
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
