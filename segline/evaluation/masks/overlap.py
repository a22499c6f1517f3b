"""How two masks of one label overlap: voxels, volume and lesions."""

import numpy as np

from segline.evaluation.masks.pairs import require_comparable
from segline.imaging.geometry import bounding_box


def dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    """``2 |T and P| / (|T| + |P|)`` of two masks ``(X, Y, Z)``; 1 where both are empty.

    Dice, Measures of the amount of ecologic association between species, Ecology 26 (1945).
    """
    require_comparable(truth, prediction)
    voxels = np.count_nonzero(truth) + np.count_nonzero(prediction)
    return 2 * np.count_nonzero(truth & prediction) / voxels if voxels else 1.0


def sensitivity(truth: np.ndarray, prediction: np.ndarray) -> float | None:
    """``|T and P| / |T|``, the share of the true voxels found; ``None`` where there are none."""
    require_comparable(truth, prediction)
    voxels = np.count_nonzero(truth)
    return np.count_nonzero(truth & prediction) / voxels if voxels else None


def relative_volume_error(truth: np.ndarray, prediction: np.ndarray) -> float | None:
    """``(|P| - |T|) / |T|``: positive where too much is predicted; ``None`` where the truth is empty."""
    require_comparable(truth, prediction)
    voxels = np.count_nonzero(truth)
    return (np.count_nonzero(prediction) - voxels) / voxels if voxels else None


def lesion_detection_rate(truth: np.ndarray, prediction: np.ndarray) -> float | None:
    """Share of the true lesions of which at least one voxel is predicted; ``None`` without lesions.

    A lesion is a component of the truth connected by faces, edges or corners (26 neighbours). One
    shared voxel detects it: the localisation criterion "mask IoU > 0" of Maier-Hein et al., Metrics
    reloaded, Nature Methods 21 (2024). The rate says nothing of false lesions.
    """
    from scipy import ndimage

    require_comparable(truth, prediction)
    if not truth.any():
        return None
    box = bounding_box(truth)
    lesions, count = ndimage.label(truth[box], structure=np.ones((3, 3, 3)))
    return len(np.unique(lesions[truth[box] & prediction[box]])) / count
