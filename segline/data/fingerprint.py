"""The fingerprint of a data set: what a plan is proposed from."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from segline.common.errors import SeglineError
from segline.data.manifest import CaseEntry, Manifest
from segline.imaging.geometry import Reorientation, Shape, as_shape
from segline.imaging.preprocessing import foreground_box
from segline.imaging.volume import Volume
from segline.plan.preprocessing import CROP_MARGIN_MM

_VOXELS_A_CASE = 10_000
PERCENTILES = (0.5, 50.0, 99.5)
CT_BODY_ABOVE_HU = -500.0
BACKGROUND = 0.0
"""Of images without a unit, such as MR, that have no value below it."""


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
    foreground_above: float | None
    """Value above which the box of every case holds all its labelled voxels; None where none is known."""


def take_fingerprint(manifest: Manifest, workers: int = 2) -> Fingerprint:
    """Read every case once; at most 10 000 labelled voxels of each count towards the percentiles.

    Where cases have no label map, of all voxels.

    Raises:
        SeglineError: no case has a labelled voxel, or a file cannot be read.
    """
    above = crop_above(manifest)

    def sampled(case: CaseEntry) -> Sample:
        return sample(manifest.image(case), manifest.labelled(case) if case.label else None, above)

    with ThreadPoolExecutor(workers) as pool:
        return fingerprint_of(manifest, list(pool.map(sampled, manifest.cases)))


def crop_above(manifest: Manifest) -> float:
    """Value above which something lies that is not the air around a patient."""
    is_ct = all(modality.upper() == "CT" for modality in manifest.modalities)
    return CT_BODY_ABOVE_HU if is_ct else BACKGROUND


class Sample(NamedTuple):
    """What a case tells for the fingerprint."""

    foreground: np.ndarray
    """Intensities ``(C, n)`` of evenly spaced labelled voxels."""
    may_be_cropped: bool
    """Whether the box above a value holds all that is labelled; below 0 there is only what CT knows."""


def fingerprint_of(manifest: Manifest, samples: Sequence[Sample]) -> Fingerprint:
    """Put together what each of the cases tells, in their order.

    Raises:
        SeglineError: no case has a labelled voxel.
    """
    voxels = np.concatenate([sample.foreground for sample in samples], axis=1)
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
        foreground_above=crop_above(manifest) if all(sample.may_be_cropped for sample in samples) else None,
    )


def sample(volume: Volume, label: np.ndarray | None, above: float) -> Sample:
    """Of a case's image; ``label`` ``(X, Y, Z)`` says where it is labelled, ``None`` that nobody knows."""
    image = volume.array
    labelled = range(image[0].size) if label is None else np.flatnonzero(label)
    chosen = np.asarray(labelled[:: max(1, -(-len(labelled) // _VOXELS_A_CASE))])
    foreground = np.stack([channel.reshape(-1)[chosen] for channel in image]).astype(np.float32)
    if above == BACKGROUND and image.min() < BACKGROUND:
        return Sample(foreground, may_be_cropped=False)
    box = foreground_box(image, above, CROP_MARGIN_MM, volume.grid.spacing_mm)
    outside = 0 if label is None else np.count_nonzero(label) - np.count_nonzero(label[box])
    return Sample(foreground, may_be_cropped=not outside)


def ras_geometry(case: CaseEntry) -> tuple[tuple[float, float, float], Shape]:
    """Spacing in mm and shape in voxels of a case, axes in RAS order."""
    axes = Reorientation.between(case.orientation, "RAS").axes
    spacing = [case.spacing_mm[axis] for axis in axes]
    shape = [case.shape[axis] for axis in axes]
    return (spacing[0], spacing[1], spacing[2]), as_shape(shape)
