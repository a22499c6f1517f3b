"""A made-up chest in MR: the left atrium among chambers of the same blood, as Task02 of the Decathlon has it.

Painted like the abdomen, from signed fields in millimetres by sums, products, quotients and square roots, so
that the bytes do not depend on threads or vector instructions. Patient space is RAS+ with x = 0 in the
midline, y = 0 in mid-body and z = 0 at the middle of the atrium.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segline.common.errors import SeglineError
from segline.data.phantom.scanner import ORIENTATIONS, stream
from segline.data.phantom.shapes import (
    ROLL,
    WARP_MM,
    Axes,
    Blob,
    axes_of,
    signed_field,
    smooth_max,
    soft,
    undeformed,
    voxel_width_mm,
    waves,
)
from segline.data.phantom.writing import SMALLEST_SCALE, write_cases
from segline.imaging.geometry import Grid, Reorientation, as_shape, spacing_mm
from segline.imaging.volume import Volume

HEART_VERSION = 1
"""Raise it when this code paints other voxels: generated folders are kept by it."""
SPACING_MM = (1.25, 1.25, 1.37)
"""Of Task02, at full size."""
SCALE = 0.3
"""Of the full size, along each axis, where none is named: two cores learn it in minutes."""
DESCRIBED = {
    "name": "PhantomHeart",
    "description": "Made-up chest MR with the left atrium as target; no patient was scanned",
    "modality": {"0": "MRI"},
    "labels": {"0": "background", "1": "left atrium"},
}
SIGNALS = {
    "fat": 420.0,
    "muscle": 150.0,
    "lung": 35.0,
    "wall": 190.0,
    "blood": 330.0,
    "bone": 110.0,
}
"""Before gain and noise; MR has no unit. Air has none at all."""
_LONG_MM = 1e4
BLOBS = {
    "body": Blob((0, 0, 0), (172, 112, _LONG_MM), boxiness=0.35),
    "right lung": Blob((86, 0, 12), (56, 82, 130), (0, 0, -6), 0.2),
    "left lung": Blob((-94, -4, 16), (46, 80, 130), (0, 0, 6), 0.2),
    "heart": Blob((-20, 26, -14), (70, 58, 66), (0, 20, -20), 0.1),
    "left ventricle": Blob((-52, 34, -36), (30, 28, 44), (0, 35, -20)),
    "right ventricle": Blob((-12, 60, -32), (44, 20, 42), (0, 30, -10)),
    "right atrium": Blob((34, 30, -8), (27, 26, 36)),
    "ascending aorta": Blob((8, 26, 58), (14, 14, 52)),
    "descending aorta": Blob((-24, -52, 0), (11, 11, _LONG_MM)),
    "vertebra": Blob((0, -74, 0), (23, 19, _LONG_MM), boxiness=0.3),
}
_POOLS = ("left ventricle", "right ventricle", "right atrium", "ascending aorta", "descending aorta")
"""Of the same blood as the atrium."""
ATRIUM = Blob((-4, -10, 4), (34, 23, 27), (0, 8, 0), 0.15)
VEINS = tuple(
    Blob((x, -16, z), (30, 6.5, 7.5), (0, tilt, 0))
    for x, z, tilt in ((34, 14, -15), (34, -6, 10), (-42, 15, 15), (-42, -5, -10))
)
"""Pulmonary veins; the atrium's label takes as much of them as lies near it."""
_STUB_MM = 9.0
_WALL_MM = 3.0
_TEXTURE = 0.05
"""Of a signal."""
_BIAS = 0.18
"""Standard deviation of what the coils make brighter or darker, over the chest."""


def heart_case(index: int, seed: int = 0, scale: float = SCALE) -> tuple[Volume, Volume]:
    """One case: image ``(1, X, Y, Z)`` int16 and label uint8 (0 background, 1 left atrium).

    At a ``scale`` of 1 there are about 320x320x110 voxels of 1.25x1.25x1.37 mm; size, orientation, gain and
    noise vary. Content depends on the arguments alone.

    Raises:
        SeglineError: a number is negative, or the scale is not within 0.1 to 1.
    """
    if min(index, seed) < 0 or not SMALLEST_SCALE <= scale <= 1:
        raise SeglineError(
            f"phantom-heart: index {index}, seed {seed}, scale {scale:g}; give numbers of 0 or more, and a "
            f"scale of {SMALLEST_SCALE:g} to 1"
        )
    patient, scanner = (stream(index, seed, purpose) for purpose in (10, 11))
    grid, orientation = _draw_grid(scanner, scale), str(scanner.choice(ORIENTATIONS))
    image, label = _scan(grid, patient, scanner)
    turn = Reorientation.between("RAS", orientation)
    affine = turn.apply_to_grid(grid).affine
    image, label = (np.ascontiguousarray(turn.apply(array)) for array in (image, label))
    return Volume(image[None], affine), Volume(label[None], affine)


def write_heart_phantom(folder: Path, cases: int, seed: int = 0, scale: float = SCALE) -> None:
    """Write ``cases`` cases as a Decathlon folder, whole or not at all, with the same bytes every time.

    Raises:
        SeglineError: as :func:`heart_case`; ``cases`` is below 1, or ``folder`` exists and is not empty.
    """
    names = [f"heart_{index:03d}.nii.gz" for index in range(cases)]
    write_cases(folder, names, lambda index: heart_case(index, seed, scale), DESCRIBED)


@dataclass(frozen=True)
class _Canvas:
    """A patient on a grid, half painted.

    Args:
        points_mm: where each voxel lies in the undeformed anatomy, ``(3, X, Y, Z)``.
        texture: a field ``(X, Y, Z)`` of about unit variance.
        image: ``(X, Y, Z)`` float32, painted in place.
        voxel_mm: width of the soft edges.
    """

    points_mm: np.ndarray
    texture: np.ndarray
    image: np.ndarray
    voxel_mm: float

    def field(self, blob: Blob) -> np.ndarray:
        return signed_field(self.points_mm, blob)

    def paint(self, field: np.ndarray, tissue: str) -> None:
        """Fill where ``field`` is negative, with soft edges."""
        signal = np.float32(SIGNALS[tissue]) * (1 + np.float32(_TEXTURE) * self.texture)
        self.image[...] += soft(field, self.voxel_mm) * (signal - self.image)


def _draw_grid(rng: np.random.Generator, scale: float) -> Grid:
    """A RAS grid around the atrium: 320 pixels in most cases, and a stack that varies more."""
    pixels = round(float(rng.choice([320, 320, 320, 288, 256])) * scale)
    slices = round(float(rng.uniform(95, 125)) * scale)
    affine = np.diag([*(mm / scale for mm in SPACING_MM), 1.0])
    extent = np.array([pixels, pixels, slices]) * spacing_mm(affine)
    centre = np.array([rng.uniform(-12, 12), rng.uniform(-10, 10), rng.uniform(-12, 12)])
    affine[:3, 3] = (centre - extent / 2).round(2)
    return Grid(as_shape((pixels, pixels, slices)), affine)


def _scan(
    grid: Grid, patient: np.random.Generator, scanner: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Image int16 and label uint8, ``(X, Y, Z)``, on a RAS grid."""
    canvas, axes_mm = _new_canvas(grid, patient)
    atrium = _paint_chest(canvas, patient)
    bias = 1 + np.float32(_BIAS) * waves(axes_mm, scanner, 350, 700)
    gain, noise = np.float32(scanner.uniform(0.6, 1.8)), np.float32(scanner.uniform(10, 22))
    signal = canvas.image * np.clip(bias, np.float32(0.4), np.float32(1.8))
    image = gain * _rician(signal, noise, scanner)
    return np.clip(np.rint(image), 0, 4095).astype(np.int16), (atrium <= 0).astype(np.uint8)


def _rician(signal: np.ndarray, sd: np.float32, rng: np.random.Generator) -> np.ndarray:
    """Noise of a magnitude image; Gudbjartsson and Patz, The Rician distribution of noisy MRI data, 1995."""
    real, imaginary = (sd * rng.standard_normal(signal.shape, np.float32) for _ in range(2))
    return np.asarray(np.sqrt((signal + real) ** 2 + imaginary**2))


def _new_canvas(grid: Grid, rng: np.random.Generator) -> tuple[_Canvas, Axes]:
    """Air, with the anatomy's size, warp, roll and texture; and the positions along its axes."""
    axes = axes_of(grid, rng.uniform(0.92, 1.08, 3))
    warp = [WARP_MM * waves(axes, rng, 110, 260) for _ in range(3)]
    points = undeformed(axes, rng.uniform(-ROLL, ROLL), warp)
    texture, air = waves(axes, rng, 18, 60), np.zeros(grid.shape, np.float32)
    return _Canvas(points, texture, air, voxel_width_mm(grid)), axes


def _paint_chest(canvas: _Canvas, rng: np.random.Generator) -> np.ndarray:
    """Paint from the outside in; give the field of the atrium."""
    body = canvas.field(BLOBS["body"])
    canvas.paint(body, "fat")
    canvas.paint(body + rng.uniform(10, 26), "muscle")
    for name in ("right lung", "left lung"):
        canvas.paint(smooth_max(canvas.field(BLOBS[name].vary(rng)), body + 32, 8), "lung")
    canvas.paint(canvas.field(BLOBS["heart"].vary(rng)), "wall")
    canvas.paint(canvas.field(BLOBS["vertebra"].vary(rng)), "bone")
    for name in _POOLS:
        canvas.paint(canvas.field(BLOBS[name].vary(rng)), "blood")
    return _paint_atrium(canvas, rng)


def _paint_atrium(canvas: _Canvas, rng: np.random.Generator) -> np.ndarray:
    """The atrium in its wall, with veins of which the stubs are its own."""
    size = rng.uniform(0.85, 1.25)
    body = canvas.field(ATRIUM.vary(rng).scaled(*(size * rng.uniform(0.92, 1.08, 3)))) + canvas.texture
    veins = canvas.field(VEINS[0].vary(rng))
    for vein in VEINS[1:]:
        veins = np.minimum(veins, canvas.field(vein.vary(rng)))
    canvas.paint(np.minimum(body, veins) - _WALL_MM, "wall")
    canvas.paint(np.minimum(body, veins), "blood")
    return np.minimum(body, np.maximum(veins, body - _STUB_MM))
