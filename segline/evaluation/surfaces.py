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
from pydantic import BaseModel

from segline.common.errors import SeglineError

Spacing = tuple[float, float, float]
"""Voxel spacing in mm along x, y, z."""

_ROUNDING_MM = 1e-5
"""Lattice distances often equal the tolerance exactly; spacings are known to six decimals only."""


class LabelMetrics(BaseModel, frozen=True):
    """The figures of one label in one case; ``None`` means undefined here (table of the module)."""

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


def dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    """``2 |T and P| / (|T| + |P|)`` of two masks ``(X, Y, Z)``; 1 where both are empty.

    Dice, Measures of the amount of ecologic association between species, Ecology 26 (1945).
    """
    _require_comparable(truth, prediction)
    voxels = np.count_nonzero(truth) + np.count_nonzero(prediction)
    return 2 * np.count_nonzero(truth & prediction) / voxels if voxels else 1.0


def sensitivity(truth: np.ndarray, prediction: np.ndarray) -> float | None:
    """``|T and P| / |T|``, the share of the true voxels found; ``None`` where there are none."""
    _require_comparable(truth, prediction)
    voxels = np.count_nonzero(truth)
    return np.count_nonzero(truth & prediction) / voxels if voxels else None


def relative_volume_error(truth: np.ndarray, prediction: np.ndarray) -> float | None:
    """``(|P| - |T|) / |T|``: positive where too much is predicted; ``None`` where the truth is empty."""
    _require_comparable(truth, prediction)
    voxels = np.count_nonzero(truth)
    return (np.count_nonzero(prediction) - voxels) / voxels if voxels else None


def lesion_detection_rate(truth: np.ndarray, prediction: np.ndarray) -> float | None:
    """Share of the true lesions of which at least one voxel is predicted; ``None`` without lesions.

    A lesion is a component of the truth connected by faces, edges or corners (26 neighbours). One
    shared voxel detects it: the localisation criterion "mask IoU > 0" of Maier-Hein et al., Metrics
    reloaded, Nature Methods 21 (2024). The rate says nothing of false lesions.
    """
    from scipy import ndimage

    _require_comparable(truth, prediction)
    if not truth.any():
        return None
    box = _bounding_box(truth)
    lesions, count = ndimage.label(truth[box], structure=np.ones((3, 3, 3)))
    return len(np.unique(lesions[truth[box] & prediction[box]])) / count


def voxel_agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Share of voxels at which two label maps of one shape are equal, background included.

    Raises:
        SeglineError: the shapes differ or hold no voxel.
    """
    if a.shape != b.shape or a.size == 0:
        raise SeglineError(
            f"label maps of {_size(a)} and {_size(b)} voxels cannot be compared: "
            "give two predictions of one image"
        )
    return np.count_nonzero(a == b) / a.size


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
        _require_comparable(truth, prediction)
        if len(spacing_mm) != 3 or not all(np.isfinite(mm) and mm > 0 for mm in spacing_mm):
            raise SeglineError(f"spacing {tuple(spacing_mm)} mm: three lengths above 0 are needed")
        box = _bounding_box(truth | prediction)
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
    from monai.metrics.utils import create_table_neighbour_code_to_surface_area

    table_mm2, kernel = create_table_neighbour_code_to_surface_area(spacing_mm)
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


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The slices that hold all set voxels; empty slices for an empty mask."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        box.append(slice(filled[0], filled[-1] + 1) if len(filled) else slice(0, 0))
    return tuple(box)


def _require_comparable(truth: np.ndarray, prediction: np.ndarray) -> None:
    if truth.dtype != bool or prediction.dtype != bool:
        raise TypeError(f"masks must be bool, not {truth.dtype} and {prediction.dtype}: compare with a label")
    if truth.ndim != 3 or truth.shape != prediction.shape:
        raise SeglineError(
            f"truth of {_size(truth)} and prediction of {_size(prediction)} voxels cannot be compared: "
            "bring both to the grid of the label file"
        )


def _size(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))
