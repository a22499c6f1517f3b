"""Made-up brain tumours in four MR channels, in the shape of the Decathlon's Task01 and of BraTS."""

from pathlib import Path

import numpy as np

from segline.data.phantom.heads import Head, Intensities, grid_around, paint_head, scan
from segline.data.phantom.scanner import stream
from segline.data.phantom.shapes import Blob, vector, waves
from segline.data.phantom.writing import write_cases
from segline.imaging.volume import Volume

CHANNELS = ("FLAIR", "T1w", "t1gd", "T2w")
LABELS = {0: "background", 1: "edema", 2: "non-enhancing tumor", 3: "enhancing tumour"}
_DESCRIBED = {
    "name": "Phantom brain",
    "description": "Made-up brain tumours in four MR channels; no patient was scanned",
    "modality": {str(number): name for number, name in enumerate(CHANNELS)},
    "labels": {str(value): name for value, name in LABELS.items()},
}
_EXTENT_MM = (240, 240, 155)
_INTENSITIES: Intensities = {
    "fluid": (70, 130, 130, 800),
    "grey matter": (310, 300, 320, 430),
    "white matter": (250, 400, 415, 330),
    "edema": (480, 280, 295, 640),
    "non-enhancing tumor": (340, 210, 225, 720),
    "enhancing tumour": (410, 290, 640, 520),
}
_HEALTHY = {"fluid": 0, "grey matter": 0, "white matter": 0}
_NOISE = 12.0
_WITHOUT_UPTAKE = 0.1
"""Of the tumours."""


def glioma_case(index: int, seed: int = 0, voxel_mm: float = 1.0) -> tuple[Volume, Volume]:
    """One case: image ``(4, X, Y, Z)`` int16, zero outside the brain, and label uint8 as in :data:`LABELS`.

    240 x 240 x 155 voxels of 1 mm, or fewer and larger ones. Content depends on the arguments alone.
    """
    grid = grid_around(_EXTENT_MM, voxel_mm)
    rng = stream(index, seed, 0)
    head = paint_head(grid, rng, _INTENSITIES, _HEALTHY)
    _paint_tumour(head, rng)
    head.label[head.brain > 0] = 0
    image = scan(head, rng, _NOISE)
    return Volume(image, grid.affine), Volume(head.label[None], grid.affine)


def write_gliomas(folder: Path, cases: int, seed: int = 0, voxel_mm: float = 1.0) -> None:
    """Write ``cases`` cases as a Decathlon folder, whole or not at all, with the same bytes every time.

    Raises:
        SeglineError: ``cases`` is below 1, or ``folder`` exists and is not empty.
    """
    names = [f"glioma_{index:03d}.nii.gz" for index in range(cases)]
    write_cases(folder, names, lambda index: glioma_case(index, seed, voxel_mm), _DESCRIBED)


def _paint_tumour(head: Head, rng: np.random.Generator) -> None:
    """A core whose rim takes contrast medium up, in oedema that spares cortex."""
    side = rng.choice([-1.0, 1.0])
    centre = (side * rng.uniform(22, 40), rng.uniform(-42, 46), rng.uniform(4, 36))
    radii = rng.uniform(0.8, 1.2, 3) * rng.uniform(11, 19)
    lobed = 2.5 * waves(head.axes_mm, rng, 22, 50)
    core = head.field(Blob(vector(centre), vector(radii), vector(rng.uniform(-40, 40, 3)))) + lobed
    swollen = core + 4 * waves(head.axes_mm, rng, 30, 70) - rng.uniform(7, 16)
    rim_mm = 0.0 if rng.random() < _WITHOUT_UPTAKE else rng.uniform(2.5, 5)
    rim = ("enhancing tumour", 3) if rim_mm else ("non-enhancing tumor", 2)
    head.paint(np.maximum(swollen, head.brain + 2.5), "edema", 1)
    head.paint(np.maximum(core, head.brain + 1), *rim)
    head.paint(np.maximum(core + rim_mm, head.brain + 1), "non-enhancing tumor", 2)
