"""All figures of one label in one case."""

import numpy as np
from pydantic import BaseModel

from segline.evaluation.masks.overlap import dice, lesion_detection_rate, relative_volume_error, sensitivity
from segline.evaluation.masks.surfaces import SurfaceDistances, hd95_mm, nsd
from segline.imaging.geometry import Spacing


class LabelMetrics(BaseModel, frozen=True):
    """The figures of one label in one case; ``None`` where it is undefined."""

    dice: float | None
    nsd: float | None
    hd95_mm: float | None
    sensitivity: float | None
    relative_volume_error: float | None
    lesion_detection_rate: float | None
    truth_ml: float
    prediction_ml: float


def label_metrics(
    truth: np.ndarray, prediction: np.ndarray, spacing_mm: Spacing, tolerance_mm: float
) -> LabelMetrics:
    """All figures of one label in one case.

    Args:
        truth: ``(X, Y, Z)`` bool.
        prediction: ``(X, Y, Z)`` bool, on the same grid.
        spacing_mm: of that grid.
        tolerance_mm: distance up to which two surfaces count as equal in the NSD.

    Raises:
        SeglineError: the grids differ, or a spacing or the tolerance is not a length.
    """
    distances = SurfaceDistances.between(truth, prediction, spacing_mm)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    return LabelMetrics(
        dice=dice(truth, prediction),
        nsd=nsd(distances, tolerance_mm),
        hd95_mm=hd95_mm(distances),
        sensitivity=sensitivity(truth, prediction),
        relative_volume_error=relative_volume_error(truth, prediction),
        lesion_detection_rate=lesion_detection_rate(truth, prediction),
        truth_ml=np.count_nonzero(truth) * voxel_ml,
        prediction_ml=np.count_nonzero(prediction) * voxel_ml,
    )
