"""How well a predicted mask agrees with the true one: overlap, surfaces, volume and lesions of one label.

Masks are boolean ``(X, Y, Z)`` on the label file's own grid. A figure that has no meaning for a case is
``None``, never a number that would move a mean:

===================== ========== ========================= ========================
figure                both empty only the truth is empty   only the prediction is
===================== ========== ========================= ========================
dice, nsd             1          0                         0
hd95_mm               0          None                      None
sensitivity           None       None                      0
relative_volume_error None       None                      -1
lesion_detection_rate None       None                      0
===================== ========== ========================= ========================

A missing HD95 is the worst outcome, not a neutral one: report how many are missing beside the mean.
"""

from dataclasses import dataclass

import numpy as np

from segline.common.errors import SeglineError
from segline.evaluation.masks.pairs import require_comparable
from segline.imaging.geometry import Spacing, bounding_box

_ROUNDING_MM = 1e-5
"""Lattice distances often equal the tolerance exactly; spacings are known to six decimals only."""


@dataclass(frozen=True)
class SurfaceDistances:
    """Distance of every surface element of each mask to the other surface, and the element's area.

    The surface of a mask passes between its voxels and the background, and closes at the edge of the
    volume. Its elements sit on the corners between eight voxels; their areas are those of the marching
    cubes that the eight call for. The distance to the surface of an empty mask is infinite. Voxel axes
    are taken as perpendicular, which those of a scanner are.

    Nikolov et al., Deep learning to achieve clinically applicable segmentation of head and neck anatomy
    for radiotherapy, arXiv:1809.04430; its authors' code is the package ``surface-distance``.
    """

    truth_mm: np.ndarray
    """``(N,)`` from each element of the true surface to the predicted one."""
    prediction_mm: np.ndarray
    """``(M,)`` from each element of the predicted surface to the true one."""
    truth_mm2: np.ndarray
    """``(N,)`` areas of the elements of the true surface."""
    prediction_mm2: np.ndarray
    """``(M,)`` areas of the elements of the predicted surface."""

    @classmethod
    def between(cls, truth: np.ndarray, prediction: np.ndarray, spacing_mm: Spacing) -> "SurfaceDistances":
        """Measure two masks ``(X, Y, Z)`` in both directions.

        Raises:
            SeglineError: the grids differ, or a spacing is not a length.
        """
        require_comparable(truth, prediction)
        if len(spacing_mm) != 3 or not all(np.isfinite(mm) and mm > 0 for mm in spacing_mm):
            raise SeglineError(f"spacing {tuple(spacing_mm)} mm: three lengths above 0 are needed")
        box = bounding_box(truth | prediction)
        truth_elements, truth_mm2 = _surface(truth[box], spacing_mm)
        prediction_elements, prediction_mm2 = _surface(prediction[box], spacing_mm)
        return cls(
            truth_mm=_distances_mm(truth_elements, prediction_elements, spacing_mm),
            prediction_mm=_distances_mm(prediction_elements, truth_elements, spacing_mm),
            truth_mm2=truth_mm2,
            prediction_mm2=prediction_mm2,
        )


def nsd(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Normalised surface distance: the share of both surfaces within ``tolerance_mm`` of the other.

    Areas of the two surfaces are summed before dividing (surface Dice of Nikolov et al.,
    arXiv:1809.04430). 1 where both masks are empty.

    Raises:
        SeglineError: the tolerance is not a length.
    """
    if not (np.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise SeglineError(f"tolerance {tolerance_mm} mm: a length of 0 or more is needed")
    area_mm2 = distances.truth_mm2.sum() + distances.prediction_mm2.sum()
    if area_mm2 == 0:
        return 1.0
    reach_mm = tolerance_mm + _ROUNDING_MM
    within_mm2 = distances.truth_mm2[distances.truth_mm <= reach_mm].sum()
    within_mm2 += distances.prediction_mm2[distances.prediction_mm <= reach_mm].sum()
    return float(within_mm2 / area_mm2)


def hd95_mm(distances: SurfaceDistances) -> float | None:
    """95 % Hausdorff distance: the larger of the two directed 95th percentiles, in mm.

    A percentile is the distance within which 95 % of the surface's area lies, not 95 % of its elements:
    ``compute_robust_hausdorff`` of the package ``surface-distance``. 0 where both masks are empty,
    ``None`` where one is.
    """
    if not len(distances.truth_mm) and not len(distances.prediction_mm):
        return 0.0
    if not len(distances.truth_mm) or not len(distances.prediction_mm):
        return None
    return max(
        _percentile_mm(distances.truth_mm, distances.truth_mm2, 0.95),
        _percentile_mm(distances.prediction_mm, distances.prediction_mm2, 0.95),
    )


def _percentile_mm(mm: np.ndarray, mm2: np.ndarray, share: float) -> float:
    order = np.argsort(mm)
    area_share = np.cumsum(mm2[order]) / mm2.sum()
    reached = min(int(np.searchsorted(area_share, share)), len(mm) - 1)
    return float(mm[order[reached]])


def _surface(mask: np.ndarray, spacing_mm: Spacing) -> tuple[np.ndarray, np.ndarray]:
    """Where the surface elements are, ``(X+1, Y+1, Z+1)`` bool, and their ``(N,)`` areas in mm2."""
    from segline.networks.lean_monai import monai

    table_mm2, kernel = monai.metrics.utils.create_table_neighbour_code_to_surface_area(spacing_mm)
    codes = _neighbour_codes(mask, kernel.numpy().reshape(2, 2, 2).astype(np.uint8))
    elements = (codes != 0) & (codes != 255)
    return elements, table_mm2.numpy().astype(np.float64)[codes[elements]]


def _neighbour_codes(mask: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Which of the eight voxels around each corner are set, ``(X+1, Y+1, Z+1)`` uint8.

    Integer additions: on a whole CT the convolution that MONAI has for this takes a hundred times longer.
    """
    padded = np.pad(mask, 1).view(np.uint8)
    x, y, z = (size + 1 for size in mask.shape)
    codes = np.zeros((x, y, z), np.uint8)
    for i, j, k in np.ndindex(2, 2, 2):
        codes += kernel[i, j, k] * padded[i : i + x, j : j + y, k : k + z]
    return codes


def _distances_mm(elements: np.ndarray, others: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Distance ``(N,)`` from each of the ``elements`` to the nearest of the ``others``."""
    from scipy import ndimage

    if not elements.any() or not others.any():
        return np.full(np.count_nonzero(elements), np.inf)
    return ndimage.distance_transform_edt(~others, sampling=spacing_mm)[elements]
