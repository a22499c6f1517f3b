"""The fingerprint of a data set: what a plan is proposed from."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from pydantic import BaseModel, ConfigDict

from segline.common.errors import SeglineError
from segline.data.manifest import CaseEntry, Manifest
from segline.imaging.geometry import Reorientation, Shape, as_shape

_VOXELS_A_CASE = 10_000
PERCENTILES = (0.5, 50.0, 99.5)


class Fingerprint(BaseModel):
    """Geometry and foreground intensities over the labelled cases, axes in RAS order."""

    model_config = ConfigDict(frozen=True)

    modalities: tuple[str, ...]
    spacings_mm: tuple[tuple[float, float, float], ...]
    """Per case."""
    shapes: tuple[Shape, ...]
    """Per case, in voxels."""
    foreground_percentiles: tuple[tuple[float, float, float], ...]
    """Per channel: the 0.5th, 50th and 99.5th percentile of the labelled voxels, in the files' unit.

    Of all voxels where cases have no label map.
    """


def take_fingerprint(manifest: Manifest, workers: int = 2) -> Fingerprint:
    """Read every case once; at most 10 000 labelled voxels of each count towards the percentiles.

    Where cases have no label map, of all voxels.

    Raises:
        SeglineError: no case has a labelled voxel, or a file cannot be read.
    """
    with ThreadPoolExecutor(workers) as pool:
        samples = list(pool.map(lambda case: _foreground_sample(manifest, case), manifest.cases))
    voxels = np.concatenate(samples, axis=1)
    if not voxels.size:
        raise SeglineError(
            f"data set {manifest.name}: no case has a labelled voxel; there is nothing to learn"
        )
    percentiles = np.percentile(voxels, PERCENTILES, axis=1)
    geometry = [ras_geometry(case) for case in manifest.cases]
    return Fingerprint(
        modalities=manifest.modalities,
        spacings_mm=tuple(spacing for spacing, _ in geometry),
        shapes=tuple(shape for _, shape in geometry),
        foreground_percentiles=tuple((float(a), float(b), float(c)) for a, b, c in percentiles.T),
    )


def _foreground_sample(manifest: Manifest, case: CaseEntry) -> np.ndarray:
    """Intensities ``(C, n)`` of evenly spaced labelled voxels."""
    image = manifest.image(case).array
    labelled = np.flatnonzero(manifest.label(case).array[0]) if case.label else range(image[0].size)
    chosen = np.asarray(labelled[:: max(1, -(-len(labelled) // _VOXELS_A_CASE))])
    return np.stack([channel.reshape(-1)[chosen] for channel in image]).astype(np.float32)


def ras_geometry(case: CaseEntry) -> tuple[tuple[float, float, float], Shape]:
    """Spacing in mm and shape in voxels of a case, axes in RAS order."""
    axes = Reorientation.between(case.orientation, "RAS").axes
    spacing = [case.spacing_mm[axis] for axis in axes]
    shape = [case.shape[axis] for axis in axes]
    return (spacing[0], spacing[1], spacing[2]), as_shape(shape)
