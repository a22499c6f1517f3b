"""Made-up infants' brains in T1 and T2, in the shape of iSeg-2017: Analyze pairs, and a label a tissue."""

from pathlib import Path

import nibabel as nib
import numpy as np

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.data.phantom.heads import Intensities, grid_around, paint_head, scan
from segline.data.phantom.scanner import stream

CHANNELS = ("T1", "T2")
_EXTENT_MM = (144, 192, 256)
_VALUES = {"fluid": 10, "grey matter": 150, "white matter": 250}
"""As iSeg-2017 stores them."""
_INTENSITIES: Intensities = {"fluid": (90, 560), "grey matter": (230, 320), "white matter": (270, 280)}
"""At six months, white matter is little myelinated: the two are nearly alike."""
_NOISE = 7.0


def infant_case(index: int, seed: int = 0, voxel_mm: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """One case: channels ``(2, X, Y, Z)`` int16, zero outside the brain, and label ``(X, Y, Z)`` uint8.

    144 x 192 x 256 voxels of 1 mm, or fewer and larger ones. Content depends on the arguments alone.
    """
    rng = stream(index, seed, 0)
    head = paint_head(grid_around(_EXTENT_MM, voxel_mm), rng, _INTENSITIES, _VALUES)
    head.label[head.brain > 0] = 0
    return scan(head, rng, _NOISE), head.label


def write_infants(folder: Path, cases: int, seed: int = 0, voxel_mm: float = 1.0) -> None:
    """Write pairs such as ``subject-1-T1.hdr`` and ``subject-1-T1.img``, all or none.

    Raises:
        SeglineError: ``cases`` is below 1.
    """
    if cases < 1:
        raise SeglineError(f"phantom-iseg: {cases} cases asked for; ask for at least 1")
    with atomic.new_folder(folder) as scratch:
        for index in range(cases):
            channels, label = infant_case(index, seed, voxel_mm)
            for kind, array in (*zip(CHANNELS, channels, strict=True), ("label", label)):
                image = nib.AnalyzeImage(array[..., None], None)
                image.header.set_zooms((voxel_mm, voxel_mm, voxel_mm, 1.0))
                nib.save(image, scratch / f"subject-{index + 1}-{kind}.hdr")
