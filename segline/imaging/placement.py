"""Where an array on the plan's grid lies in the file it came from."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from segline.imaging.geometry import Box, Grid, Reorientation, Shape, as_shape


class Placement(BaseModel):
    """Where an array on the plan's grid lies in the file it came from.

    The file's array is reoriented, then the box ``crop_start`` to ``crop_stop`` of it is sampled every
    ``steps`` voxels.
    """

    model_config = ConfigDict(frozen=True)

    native_shape: Shape
    native_affine: tuple[tuple[float, float, float, float], ...]
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    crop_start: Shape
    crop_stop: Shape
    shape: Shape
    """Voxels on the plan's grid."""
    steps: tuple[float, float, float]

    @property
    def reorientation(self) -> Reorientation:
        """From the file's axes to the plan's."""
        return Reorientation(self.axes, self.flips)

    @property
    def native_grid(self) -> Grid:
        """The file's own grid."""
        return Grid(self.native_shape, np.array(self.native_affine))

    @property
    def crop(self) -> Box:
        """The box, in the reoriented array."""
        x, y, z = (slice(a, b) for a, b in zip(self.crop_start, self.crop_stop, strict=True))
        return x, y, z

    @property
    def crop_shape(self) -> Shape:
        """Native voxels of the box, reoriented."""
        return as_shape(b - a for a, b in zip(self.crop_start, self.crop_stop, strict=True))

    @property
    def grid(self) -> Grid:
        """The plan-grid array's own place in the patient."""
        affine = self.reorientation.apply_to_grid(self.native_grid).affine.copy()
        affine[:3, 3] += affine[:3, :3] @ np.array(self.crop_start, dtype=float)
        affine[:3, :3] *= np.array(self.steps)
        return Grid(self.shape, affine)
