"""The scanner: a patient on any axis-aligned grid, with noise, and a whole data set of them."""

from pathlib import Path

import numpy as np

from segline.common.errors import SeglineError
from segline.data.phantom.painting import paint
from segline.data.phantom.writing import write_cases
from segline.imaging.geometry import Grid, Reorientation, as_shape
from segline.imaging.volume import Volume

PHANTOM_VERSION = 1
"""Raise it when this code paints other voxels: generated folders are kept by it."""
ORIENTATIONS = ("RAS", "LAS", "LPS", "LPI", "RPI")
"""Axis codes that the cases are stored in."""
DESCRIBED = {
    "name": "Phantom",
    "description": "Made-up abdominal CT with the spleen as target; no patient was scanned",
    "modality": {"0": "CT"},
    "labels": {"0": "background", "1": "spleen"},
}
_CUT_SHARE = 0.1


def phantom_case(index: int, seed: int = 0) -> tuple[Volume, Volume]:
    """One case: image ``(1, X, Y, Z)`` int16 in HU and label uint8 (0 background, 1 spleen).

    Field of view, spacing and orientation vary as they do between hospitals; in about one case of ten the
    spleen is cut by the end of the scan. Content depends on ``seed`` and ``index`` alone.
    """
    return phantom_on_grid(_draw_grid(stream(index, seed, 1)), index, seed)


def phantom_on_grid(grid: Grid, index: int, seed: int = 0) -> tuple[Volume, Volume]:
    """The patient of :func:`phantom_case` scanned on another axis-aligned ``grid``; noise is drawn per grid.

    Raises:
        SeglineError: the axes of ``grid`` are not parallel to those of the world, or a number is negative.
    """
    if np.count_nonzero(grid.affine[:3, :3]) != 3:
        raise SeglineError("phantom: the grid is oblique; give an affine with one number per axis")
    to_ras = Reorientation.between(grid.orientation, "RAS")
    image, spleen = _scan(to_ras.apply_to_grid(grid), stream(index, seed, 0))
    image, spleen = (np.ascontiguousarray(to_ras.undo(array)) for array in (image, spleen))
    return Volume(image[None], grid.affine), Volume(spleen[None], grid.affine)


def write_phantom(folder: Path, cases: int, seed: int = 0) -> None:
    """Write ``cases`` cases as a Decathlon folder, whole or not at all, with the same bytes every time.

    Raises:
        SeglineError: ``cases`` is below 1, or ``folder`` exists and is not empty.
    """
    names = [f"phantom_{index:03d}.nii.gz" for index in range(cases)]
    write_cases(folder, names, lambda index: phantom_case(index, seed), DESCRIBED)


def stream(index: int, seed: int, purpose: int) -> np.random.Generator:
    """Random numbers of their own for every case, and for its patient apart from its grid."""
    if min(index, seed) < 0:
        raise SeglineError(f"phantom: index {index}, seed {seed}; give numbers of 0 or more")
    return np.random.default_rng([seed, index, purpose])


def _draw_grid(rng: np.random.Generator) -> Grid:
    """A field of view that holds the spleen, or, now and then, cuts it, in some orientation."""
    in_plane_mm = rng.uniform(1.8, 2.6)
    spacing = np.array([in_plane_mm, in_plane_mm, rng.uniform(3, 6)]).round(3)
    low, high = rng.uniform(-115, -85), rng.uniform(72, 100)
    if rng.random() < _CUT_SHARE:
        low, high = rng.choice([(-12.0, 120.0), (-150.0, 8.0)])
    extent = np.array([rng.uniform(315, 375), rng.uniform(250, 290), high - low])
    centre = np.array([rng.uniform(-10, 10), rng.uniform(-10, 6), (low + high) / 2])
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (centre - extent / 2).round(2)
    grid = Grid(as_shape(extent // spacing + 1), affine)
    return Reorientation.between("RAS", str(rng.choice(ORIENTATIONS))).apply_to_grid(grid)


def _scan(grid: Grid, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image int16 and label uint8, ``(X, Y, Z)``, on a RAS grid; only the noise is drawn per grid."""
    canvas = paint(grid, rng)
    noisy = canvas.image + _noise(canvas.image, rng)
    return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16), canvas.spleen.astype(np.uint8)


def _noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise in HU, blurred in the slice as a reconstruction does, and quieter in air."""
    noise: np.ndarray = rng.standard_normal(image.shape, np.float32)
    for axis in (0, 1):
        blurred = noise + 0.5 * (np.roll(noise, 1, axis) + np.roll(noise, -1, axis))
        noise = blurred / np.float32(np.sqrt(1.5))
    return rng.uniform(8, 25) * noise * np.clip((image + 1300) / 1200, 0.3, 1)
