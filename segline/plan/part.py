"""What every part of a plan is: frozen, with no field that is not known, and no number out of all reason.

A plan may come with a package from anywhere. Bounds are far beyond what anybody trains, and there so that a
few bytes of a plan cannot take a machine's memory or its day.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_Edge = Annotated[int, Field(ge=1, le=65_536)]
Voxels = tuple[_Edge, _Edge, _Edge]
_VoxelMm = Annotated[float, Field(ge=0.01, le=100)]
Spacing = tuple[_VoxelMm, _VoxelMm, _VoxelMm]
"""In mm; micro-CT has 0.01."""
Distance = Annotated[float, Field(ge=0, le=1000)]
"""Within a body, in mm."""
Raw = Annotated[float, Field(ge=-1e9, le=1e9)]
"""A value of a volume's file, in its own unit; a float32 holds it, and the difference of two."""
Strength = Annotated[float, Field(ge=0, le=100)]
"""Of a random change."""
Channels = Annotated[int, Field(ge=1, le=4096)]
"""Of a level of a network."""
Label = Annotated[int, Field(ge=0, le=255)]
"""A value in label files, which are read as uint8."""
Word = Annotated[str, Field(max_length=200)]
SEGMENTATION = "segmentation"
"""The first kind of task that there was; plans and tasks that name none are of it."""
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def every_setting(part: BaseModel) -> dict[str, Any]:
    """What a part writes, and what it leaves out because it is as it was before it could be chosen."""
    written: dict[str, Any] = part.model_dump(mode="json")
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, BaseModel) and (name in written or field.exclude_if):
            written[name] = every_setting(value)
        elif name not in written and field.exclude_if:
            written[name] = value
    return written
