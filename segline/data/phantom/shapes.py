"""Shapes of the made-up anatomy: blobs as signed fields in millimetres, and smooth random fields."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from segline.common.arrays import slabs
from segline.imaging.geometry import Grid, spacing_mm

Vector = tuple[float, float, float]
"""Right, anterior, superior."""
Axes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Positions in mm along right, anterior and superior."""
Region = tuple[slice, slice, slice]
"""The part of a grid that a blob can reach."""
WARP_MM = 5.0
ROLL = 0.07
_SLACK_MM = 10.0  # a box leaves this for soft edges and coats


@dataclass(frozen=True)
class Blob:
    """An ellipsoid that can be tilted and made boxier.

    Args:
        centre_mm: its place in patient space.
        radii_mm: half axes before the tilt.
        tilt_deg: turns about x, then y, then z.
        boxiness: 0 is an ellipsoid, 1 a superquadric of exponent 4.
    """

    centre_mm: Vector
    radii_mm: Vector
    tilt_deg: Vector = (0.0, 0.0, 0.0)
    boxiness: float = 0.0

    def vary(self, rng: np.random.Generator) -> "Blob":
        """The same blob in another patient."""
        centre = rng.uniform(-5, 5, 3) + self.centre_mm
        radii = rng.uniform(0.9, 1.1, 3) * self.radii_mm
        tilt = rng.uniform(-8, 8, 3) + self.tilt_deg
        return replace(self, centre_mm=vector(centre), radii_mm=vector(radii), tilt_deg=vector(tilt))

    def mirrored(self) -> "Blob":
        """The same on the patient's other side."""
        (x, y, z), (about_x, about_y, about_z) = self.centre_mm, self.tilt_deg
        return replace(self, centre_mm=(-x, y, z), tilt_deg=(about_x, -about_y, -about_z))

    def scaled(self, *factors: float) -> "Blob":
        """The same with its radii multiplied."""
        return replace(self, radii_mm=vector(np.multiply(self.radii_mm, factors)))

    def moved(self, *by_mm: float) -> "Blob":
        """The same elsewhere."""
        return replace(self, centre_mm=vector(np.add(self.centre_mm, by_mm)))

    def box_mm(self) -> np.ndarray:
        """Lowest and highest corner ``(2, 3)`` of a box around the blob, warp and roll included."""
        turned = np.abs(_rotation(self.tilt_deg)) * np.asarray(self.radii_mm)
        reach = turned.sum(axis=1) + 2 * WARP_MM + ROLL * np.abs(self.centre_mm).max() + _SLACK_MM
        return np.stack([self.centre_mm - reach, self.centre_mm + reach])


def axes_of(grid: Grid, size: np.ndarray) -> Axes:
    """Where the voxels of a RAS grid lie in a patient who is ``size`` ``(3,)`` times as large as usual."""
    spacing, origin = spacing_mm(grid.affine), grid.affine[:3, 3]
    x, y, z = ((origin[i] + spacing[i] * np.arange(grid.shape[i])) / size[i] for i in range(3))
    return x, y, z


def undeformed(axes_mm: Axes, roll: float, warp_mm: Sequence[np.ndarray]) -> np.ndarray:
    """Where each voxel lies in the anatomy as it is written down ``(3, X, Y, Z)`` float32.

    Args:
        axes_mm: of the patient.
        roll: tangent of the turn about the long axis.
        warp_mm: three fields ``(X, Y, Z)`` by which the patient's tissue is shifted.
    """
    right, front, up = (axis.astype(np.float32) for axis in np.ix_(*axes_mm))
    x, y, z = warp_mm
    return np.stack([right - roll * front + x, front + roll * right + y, up + z]).astype(
        np.float32, copy=False
    )


def voxel_width_mm(grid: Grid) -> float:
    """The edge of a cube of a voxel's volume."""
    return float(np.cbrt(np.prod(spacing_mm(grid.affine))))


def inside(axes_mm: Axes, box_mm: np.ndarray) -> Region:
    """The voxels inside a box ``(2, 3)`` of patient space."""
    x, y, z = (slice(*np.searchsorted(axis, bounds)) for axis, bounds in zip(axes_mm, box_mm.T, strict=True))
    return x, y, z


def soft(field: np.ndarray, voxel_mm: float) -> np.ndarray:
    """How much of each voxel lies where ``field`` is negative: what a box as wide would average."""
    return np.clip(0.5 - field / voxel_mm, 0, 1)


def signed_field(points_mm: np.ndarray, blob: Blob) -> np.ndarray:
    """Signed distance ``(X, Y, Z)`` to ``blob``: (norm - 1) over the length of its gradient."""
    field = np.empty(points_mm.shape[1:], np.float32)
    for slab in slabs(field, axis=0):
        field[slab] = _signed_field(points_mm[(slice(None), *slab)], blob)
    return field


def _signed_field(points_mm: np.ndarray, blob: Blob) -> np.ndarray:
    turned = _rotation(blob.tilt_deg).astype(np.float32).T
    moved = [points - np.float32(centre) for points, centre in zip(points_mm, blob.centre_mm, strict=True)]
    second, fourth, steep = (np.zeros_like(moved[0]) for _ in range(3))
    for row, radius in zip(turned, blob.radii_mm, strict=True):
        squared = ((row[0] * moved[0] + row[1] * moved[1] + row[2] * moved[2]) / np.float32(radius)) ** 2
        second += squared
        fourth += squared * squared
        steep += squared / np.float32(radius**2)
    squared_norm = (1 - blob.boxiness) * second + blob.boxiness * np.sqrt(fourth)
    # The small terms keep the centre finite, where both the norm and its gradient vanish.
    tiny = 1e-4
    per_norm = np.sqrt((squared_norm + tiny) / (steep + tiny / min(blob.radii_mm) ** 2))
    return (np.sqrt(squared_norm) - 1) * per_norm


def smooth_max(first: np.ndarray, second: np.ndarray, width_mm: float) -> np.ndarray:
    """The larger of two fields with the crease between them rounded over ``width_mm``."""
    apart = first - second
    return (first + second + np.sqrt(apart * apart + width_mm**2 / 4)) / 2


def waves(
    axes_mm: Sequence[np.ndarray], rng: np.random.Generator, shortest_mm: float, longest_mm: float
) -> np.ndarray:
    """Five plane waves ``(X, Y, Z)`` of random direction, of unit variance together.

    A plane wave is the product of one complex exponential an axis, so no voxel costs a sine.
    """
    total = np.zeros([len(axis) for axis in axes_mm], np.float32)
    for _ in range(5):
        direction = rng.standard_normal(3)
        wave = direction / np.linalg.norm(direction) * 2 * np.pi / rng.uniform(shortest_mm, longest_mm)
        phases = [k * axis for k, axis in zip(wave, axes_mm, strict=True)]
        plane = np.exp(1j * (phases[0][:, None] + phases[1] + rng.uniform(0, 2 * np.pi)))[..., None]
        up = np.exp(1j * phases[2])
        total += plane.real.astype(np.float32) * up.real.astype(np.float32)
        total -= plane.imag.astype(np.float32) * up.imag.astype(np.float32)
    return total * np.float32(np.sqrt(2 / 5))


def _rotation(tilt_deg: Vector) -> np.ndarray:
    """Rotation matrix ``(3, 3)``: about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.deg2rad(tilt_deg)), np.sin(np.deg2rad(tilt_deg))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def around(*blobs: Blob) -> np.ndarray:
    """One box ``(2, 3)`` around several blobs."""
    boxes = np.stack([blob.box_mm() for blob in blobs])
    return np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])


def vector(values: Sequence[float] | np.ndarray) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
