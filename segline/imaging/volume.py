"""Volumes: voxel arrays with their place in the patient."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from segline.common.errors import SeglineError
from segline.common.wording import by
from segline.imaging.geometry import Affine, Grid, as_shape, spacing_mm
from segline.imaging.headers import Header


@dataclass(frozen=True)
class Volume:
    """Voxels ``(C, X, Y, Z)`` and the affine (voxel index to mm, RAS+) of their grid.

    A label map is a volume of one channel with an integer type.
    """

    array: np.ndarray
    affine: Affine
    header: Header | None = field(default=None, compare=False, repr=False)
    """Of the NIfTI file that it is from, if it is from one: what is written on its grid is placed by it."""
    remarks: tuple[str, ...] = ()
    """What was odd about the file, and how it was decided."""

    @classmethod
    def of_file(
        cls,
        array: np.ndarray,
        affine: Affine,
        name: str,
        header: Header | None = None,
        remarks: Sequence[str] = (),
    ) -> "Volume":
        """Voxels ``(X, Y)``, ``(X, Y, Z)`` or ``(X, Y, Z, C)`` as a file has them; ``name`` says which.

        Integers keep their type, in native byte order; all else becomes float32.

        Raises:
            SeglineError: not of two or three spatial axes or of real numbers, or the affine is not
                invertible.
        """
        shape = by(array.shape)
        if array.ndim == 2:
            array = array[..., None]
        if array.ndim not in (3, 4) or min(array.shape) < 1 or min(array.shape[:2]) < 2:
            raise SeglineError(f"{name}: a volume of three spatial axes is needed, this file is {shape}")
        if array.dtype.kind not in "iuf":
            raise SeglineError(
                f"{name}: voxels are {array.dtype}; convert the file to one real number a voxel"
            )
        if not np.isfinite(affine).all() or min(spacing_mm(affine)) <= 0 or np.linalg.matrix_rank(affine) < 4:
            raise SeglineError(f"{name}: the file places no volume in space; repair its affine")
        dtype = array.dtype.newbyteorder("=") if array.dtype.kind in "iu" else np.float32
        array = array.astype(dtype, copy=False)
        channels_first = array[None] if array.ndim == 3 else np.moveaxis(array, -1, 0)
        return cls(channels_first, np.asarray(affine, dtype=np.float64), header, tuple(remarks))

    @classmethod
    def stack(cls, channels: "Sequence[Volume]") -> "Volume":
        """Volumes on one grid as the channels of one volume, which lies as the first does."""
        arrays = [channel.array for channel in channels]
        if len({array.dtype for array in arrays}) > 1:  # NumPy would widen int32 beside float32 to float64
            arrays = [array.astype(np.float32) for array in arrays]
        remarks = tuple(dict.fromkeys(remark for channel in channels for remark in channel.remarks))
        joined = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        return cls(joined, channels[0].affine, channels[0].header, remarks)

    def with_array(self, array: np.ndarray) -> "Volume":
        """Other voxels ``(C, X, Y, Z)`` on the same grid."""
        return Volume(array, self.affine, self.header, self.remarks)

    @property
    def grid(self) -> Grid:
        """The spatial grid, without the channels."""
        return Grid(as_shape(self.array.shape[1:]), self.affine)

    def require_depth(self, name: str) -> None:
        """Refuse a single slice; ``name`` says whose.

        Raises:
            SeglineError: it is one.
        """
        if min(self.grid.shape) < 2:
            shape = by(self.grid.shape)
            raise SeglineError(f"{name}: a volume of three spatial axes is needed, this file is {shape}")

    def require_finite(self, name: str) -> None:
        """Refuse voxels that are no number; ``name`` says whose.

        Raises:
            SeglineError: some are NaN or infinite.
        """
        if self.array.dtype.kind != "f":
            return
        bad = self.array.size - int(np.count_nonzero(np.isfinite(self.array)))
        if bad:
            raise SeglineError(f"{name}: {bad} voxels are NaN or infinite; replace them, for instance by 0")
