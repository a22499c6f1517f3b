"""Two masks on one grid: whether they can be compared, and in how much they agree."""

import numpy as np

from segline.common.errors import SeglineError
from segline.common.wording import by


def voxel_agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Share of voxels at which two label maps of one shape are equal, background included.

    Raises:
        SeglineError: the shapes differ or hold no voxel.
    """
    if a.shape != b.shape or a.size == 0:
        raise SeglineError(
            f"label maps of {by(a.shape)} and {by(b.shape)} voxels cannot be compared: "
            "give two predictions of one image"
        )
    return np.count_nonzero(a == b) / a.size


def require_comparable(truth: np.ndarray, prediction: np.ndarray) -> None:
    if truth.dtype != bool or prediction.dtype != bool:
        raise TypeError(f"masks must be bool, not {truth.dtype} and {prediction.dtype}: compare with a label")
    if truth.ndim != 3 or truth.shape != prediction.shape:
        raise SeglineError(
            f"truth of {by(truth.shape)} and prediction of {by(prediction.shape)} voxels cannot be compared: "
            "bring both to the grid of the label file"
        )
