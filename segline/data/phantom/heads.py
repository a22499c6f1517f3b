"""A made-up head in MR, skull-stripped: white matter, a folded grey cortex, and fluid around and within.

As in :mod:`segline.data.phantom.anatomy`, a head is painted from signed fields in millimetres, so the same
patient can be put on any grid. Patient space is RAS+ with its origin in mid-brain.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from segline.data.phantom.shapes import (
    ROLL,
    WARP_MM,
    Axes,
    Blob,
    axes_of,
    inside,
    signed_field,
    smooth_max,
    soft,
    undeformed,
    voxel_width_mm,
    waves,
)
from segline.imaging.geometry import Grid, as_shape

HEADS_VERSION = 1
"""Raise it when this code paints other voxels: generated folders are kept by it."""
Intensities = Mapping[str, tuple[float, ...]]
"""Of each tissue in each channel, in the scanner's arbitrary unit."""
BLOBS = {
    "cerebrum": Blob((0, 4, 12), (62, 80, 55), boxiness=0.2),
    "cerebellum": Blob((0, -48, -38), (50, 30, 24), boxiness=0.1),
    "brain stem": Blob((0, -18, -48), (13, 13, 36), (12, 0, 0)),
    "ventricle": Blob((11, -2, 18), (7, 30, 9), (0, 0, -8)),
    "horn": Blob((24, -34, 4), (6, 18, 7), (20, 0, -25)),
    "thalamus": Blob((13, -10, 5), (9, 15, 10)),
    "putamen": Blob((27, 6, 4), (6, 17, 11), (0, 0, 8)),
    "corpus callosum": Blob((0, -2, 24), (30, 40, 16)),
}
_FAR_MM = 1e3
_CORTEX_MM = 3.2
_FOLD_MM = 7.0
"""Over which the folds' wave changes by about one."""
_FOLDS_DEPTH_MM = 15.0


@dataclass(frozen=True)
class Head:
    """A head on a RAS grid, as it is painted.

    Args:
        axes_mm: positions along right, anterior and superior.
        points_mm: where each voxel lies in the undeformed head, ``(3, X, Y, Z)``.
        brain: signed distance in mm to its surface ``(X, Y, Z)``, negative inside.
        images: ``(C, X, Y, Z)`` float32, painted in place.
        label: ``(X, Y, Z)`` uint8, painted in place.
        intensities: of every tissue of this patient.
        voxel_mm: width of the soft edges.
    """

    axes_mm: Axes
    points_mm: np.ndarray
    brain: np.ndarray
    images: np.ndarray
    label: np.ndarray
    intensities: Intensities
    voxel_mm: float

    def field(self, blob: Blob) -> np.ndarray:
        """Signed distance in mm to ``blob`` ``(X, Y, Z)``, exact near it and merely large far from it."""
        return _field(self.axes_mm, self.points_mm, blob)

    def paint(self, field: np.ndarray, tissue: str, value: int) -> None:
        """Fill where ``field`` is negative, softly in the images and hard in the label."""
        share = soft(field, self.voxel_mm)
        for image, intensity in zip(self.images, self.intensities[tissue], strict=True):
            image += share * (np.float32(intensity) - image)
        self.label[field <= 0] = value


def grid_around(extent_mm: tuple[int, int, int], voxel_mm: float) -> Grid:
    """A RAS grid of cubes with the origin in its middle."""
    shape = as_shape(int(extent // voxel_mm) for extent in extent_mm)
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = [-voxel_mm * (size - 1) / 2 for size in shape]
    return Grid(shape, affine)


def paint_head(
    grid: Grid, rng: np.random.Generator, intensities: Intensities, values: Mapping[str, int]
) -> Head:
    """A healthy head of ``rng``, with the label value of each of fluid, grey and white matter."""
    head = _bare_head(grid, rng, intensities)
    folds = np.abs(_FOLD_MM * waves(head.axes_mm, rng, 16, 40))
    shallow = head.brain + _FOLDS_DEPTH_MM
    grey, white, fluid = (values[tissue] for tissue in ("grey matter", "white matter", "fluid"))
    head.paint(head.brain, "grey matter", grey)
    within = np.minimum(_CORTEX_MM - folds, shallow + _CORTEX_MM)
    head.paint(np.maximum(head.brain + _CORTEX_MM, within), "white matter", white)
    head.paint(np.maximum(np.maximum(folds - 0.8, -shallow), head.brain), "fluid", fluid)
    head.paint(_fissure(head), "fluid", fluid)
    for name, tissue in (("thalamus", "grey matter"), ("putamen", "grey matter")):
        for blob in _both_sides(name, rng):
            head.paint(head.field(blob), tissue, values[tissue])
    for name in ("ventricle", "horn"):
        for blob in _both_sides(name, rng):
            head.paint(head.field(blob), "fluid", fluid)
    return head


def scan(head: Head, rng: np.random.Generator, noise: float) -> np.ndarray:
    """What the scanner makes of it, ``(C, X, Y, Z)`` int16: a gain and a coil's field a channel, and noise.

    Zero outside the brain, where a tool has taken the skull away, and nowhere inside.
    """
    inside = head.brain <= 0
    scanned = np.zeros(head.images.shape, np.int16)
    for image, out in zip(head.images, scanned, strict=True):
        coil = 1 + 0.06 * waves(head.axes_mm, rng, 180, 400)
        measured = image * coil + noise * rng.standard_normal(image.shape, np.float32)
        out[inside] = np.clip(np.rint(rng.uniform(0.6, 1.6) * measured[inside]), 1, 4095)
    return scanned


def _bare_head(grid: Grid, rng: np.random.Generator, intensities: Intensities) -> Head:
    """Its shape alone: size, warp and roll, and the surface of the brain."""
    axes, roll = axes_of(grid, rng.uniform(0.93, 1.05, 3)), rng.uniform(-ROLL, ROLL)
    points = undeformed(axes, roll, [0.6 * WARP_MM * waves(axes, rng, 90, 240) for _ in range(3)])
    parts = [_field(axes, points, BLOBS[name].vary(rng)) for name in ("cerebrum", "cerebellum", "brain stem")]
    brain = -smooth_max(smooth_max(-parts[0], -parts[1], 6), -parts[2], 6)
    return Head(
        axes_mm=axes,
        points_mm=points,
        brain=brain,
        images=np.zeros((len(next(iter(intensities.values()))), *grid.shape), np.float32),
        label=np.zeros(grid.shape, np.uint8),
        intensities={
            tissue: tuple(value * rng.uniform(0.95, 1.05) for value in of_channels)
            for tissue, of_channels in intensities.items()
        },
        voxel_mm=voxel_width_mm(grid),
    )


def _field(axes_mm: Axes, points_mm: np.ndarray, blob: Blob) -> np.ndarray:
    window = inside(axes_mm, blob.box_mm())
    field = np.full(points_mm.shape[1:], _FAR_MM, np.float32)
    field[window] = signed_field(points_mm[(slice(None), *window)], blob)
    return field


def _fissure(head: Head) -> np.ndarray:
    """Fluid between the hemispheres, but where they are joined."""
    sheet = np.maximum(np.abs(head.points_mm[0]) - 1.2, -head.points_mm[2])
    return np.maximum(np.maximum(sheet, head.brain), -head.field(BLOBS["corpus callosum"]))


def _both_sides(name: str, rng: np.random.Generator) -> tuple[Blob, Blob]:
    return BLOBS[name].vary(rng), BLOBS[name].mirrored().vary(rng)
