"""Volumes: voxel arrays with their place in the patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segline.imaging.geometry import Affine, Grid, as_shape


@dataclass(frozen=True)
class Volume:
    """Voxels ``(C, X, Y, Z)`` and the affine (voxel index to mm, RAS+) of their grid.

    A label map is a volume of one channel with an integer type.
    """

    array: np.ndarray
    affine: Affine

    @classmethod
    def stack(cls, channels: "Sequence[Volume]") -> "Volume":
        """Volumes on one grid as the channels of one volume."""
        arrays = [channel.array for channel in channels]
        if len({array.dtype for array in arrays}) > 1:  # NumPy would widen int32 beside float32 to float64
            arrays = [array.astype(np.float32) for array in arrays]
        return cls(np.concatenate(arrays) if len(arrays) > 1 else arrays[0], channels[0].affine)

    @property
    def grid(self) -> Grid:
        """The spatial grid, without the channels."""
        return Grid(as_shape(self.array.shape[1:]), self.affine)
