"""Where voxels lie in the patient: grids, orientations, and moving between them without resampling."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel import orientations as nib_orientations
from nibabel.affines import voxel_sizes

from segline.common.errors import SeglineError
from segline.common.wording import by

Shape = tuple[int, int, int]
"""Voxels along x, y, z."""
Box = tuple[slice, slice, slice]
"""A part of a volume: what is taken along x, y, z."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the world of DICOM and ITK to NIfTI's."""

_TOLERANCE_MM = 0.1

Affine = np.ndarray
"""``(4, 4)`` float64, voxel index to millimetres in RAS+ world space, as in NIfTI."""


def spacing_mm(affine: Affine) -> tuple[float, float, float]:
    """Voxel spacing in mm along each voxel axis: the column norms of ``affine``.

    >>> spacing_mm(np.diag([1.5, 1.5, 2.0, 1.0]))
    (1.5, 1.5, 2.0)
    """
    x, y, z = (round(float(size), 6) for size in voxel_sizes(affine))
    return x, y, z


def orientation(affine: Affine) -> str:
    """Three letters naming the direction each voxel axis runs towards.

    >>> orientation(np.diag([-1.0, 1.0, 1.0, 1.0]))
    'LAS'
    """
    return "".join(nib_orientations.aff2axcodes(affine))


@dataclass(frozen=True)
class Grid:
    """A voxel grid: its shape and its affine (voxel index to mm, RAS+)."""

    shape: Shape
    affine: Affine

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing in mm."""
        return spacing_mm(self.affine)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml; of a sheared one, too."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def orientation(self) -> str:
        """Axis codes, such as ``RAS``."""
        return orientation(self.affine)

    def distance_mm(self, other: "Grid") -> float:
        """Between the places that two grids of one shape give a corner voxel's centre, the largest."""
        return float(np.linalg.norm(_corners_mm(self) - _corners_mm(other), axis=1).max())

    def matches(self, other: "Grid") -> bool:
        """Whether shapes are equal and every corner lies at the same place.

        0.1 mm are allowed, or a quarter of a voxel where that is less: spacing told to four digits, such as
        0.7031 mm for 0.703125 mm, puts the far corner of 512 voxels 0.013 mm off.
        """
        return self.shape == other.shape and self.distance_mm(other) <= self._tolerance_mm

    @property
    def _tolerance_mm(self) -> float:
        return min(_TOLERANCE_MM, min(self.spacing_mm) / 4)

    def require_same(self, other: "Grid", subject: str, others: str = "image grid") -> None:
        """Refuse a grid that does not match another; ``subject`` and ``others`` say whose each is.

        Raises:
            SeglineError: they do not match.
        """
        if self.matches(other):
            return
        differ = f"differs from {others} {by(other.shape)}"
        if self.shape == other.shape:
            distance, allowed = self.distance_mm(other), self._tolerance_mm
            differ = f"lies up to {distance:.4g} mm off {others}, {allowed:.2g} mm are allowed: {self.place}"
            differ += f" and {other.place}" if self.place != other.place else ""
        shape = f" {by(self.shape)}" if self.shape != other.shape else ""
        raise SeglineError(f"{subject} grid{shape} {differ}; resample it, or take the case out")

    @property
    def place(self) -> str:
        """In words, where it lies."""
        origin = ", ".join(f"{position:g}" for position in self.affine[:3, 3])
        return f"{self.orientation} {by(self.spacing_mm)} mm at ({origin}) mm"


@dataclass(frozen=True)
class Reorientation:
    """A permutation and flips of voxel axes that brings an affine to another orientation, and back.

    ``axes[i]`` is the source axis that becomes axis ``i``; ``flips[i]`` says whether it is then reversed.
    Exact: no voxel value changes.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @classmethod
    def between(cls, source: str, target: str) -> "Reorientation":
        """The reorientation from one set of axis codes to another.

        >>> Reorientation.between("LPS", "RAS")
        Reorientation(axes=(0, 1, 2), flips=(True, True, False))
        """
        transform = nib_orientations.ornt_transform(
            nib_orientations.axcodes2ornt(source), nib_orientations.axcodes2ornt(target)
        )
        axes = [int(np.flatnonzero(transform[:, 0] == axis)[0]) for axis in range(3)]
        flips = [bool(transform[axis, 1] < 0) for axis in axes]
        return cls((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Reorient the last three axes of ``array``; a view, nothing is copied."""
        lead = array.ndim - 3
        moved = array.transpose(*range(lead), *(lead + axis for axis in self.axes))
        return np.flip(moved, tuple(lead + i for i, flip in enumerate(self.flips) if flip))

    def undo(self, array: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`apply`; a view."""
        lead = array.ndim - 3
        unflipped = np.flip(array, tuple(lead + i for i, flip in enumerate(self.flips) if flip))
        back = np.argsort(self.axes)
        return unflipped.transpose(*range(lead), *(lead + int(axis) for axis in back))

    def apply_to_grid(self, grid: Grid) -> Grid:
        """The grid that :meth:`apply` gives an array of ``grid``."""
        shape = [grid.shape[axis] for axis in self.axes]
        step = np.zeros((4, 4))
        step[3, 3] = 1
        for axis, (source, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            step[source, axis] = -1 if flip else 1
            step[source, 3] = grid.shape[source] - 1 if flip else 0
        return Grid((shape[0], shape[1], shape[2]), grid.affine @ step)


def as_shape(values: Any) -> Shape:
    """Three integers as a :data:`Shape`."""
    x, y, z = (int(value) for value in values)
    return x, y, z


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The slices that hold all set voxels of a mask of any shape; empty slices for an empty mask.

    >>> bounding_box(np.array([[0, 1, 1, 0], [0, 0, 1, 0]]) > 0)
    (slice(0, 2, None), slice(1, 3, None))
    """
    box = [slice(0, 0)] * mask.ndim
    far_first = sorted(range(mask.ndim), key=lambda axis: -abs(mask.strides[axis]))
    left: np.ndarray = mask.transpose(far_first)
    for axis in far_first:
        filled = np.flatnonzero(left.any(axis=tuple(range(1, left.ndim))))
        if not len(filled):
            break
        box[axis] = slice(int(filled[0]), int(filled[-1]) + 1)
        left = np.asarray(left[filled[0] : filled[-1] + 1].any(axis=0))
    return tuple(box)


def _corners_mm(grid: Grid) -> np.ndarray:
    """World positions ``(8, 3)`` of the eight corner voxels' centres."""
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in grid.shape])).reshape(3, -1)
    return (grid.affine[:3, :3] @ corners).T + grid.affine[:3, 3]


Spacing = tuple[float, float, float]
"""Voxel spacing in mm along x, y, z."""
