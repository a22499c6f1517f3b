"""Centre lines: what the label maps of a training tell of where planes lie, learned by ridge regression."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from segline.inference.planes import centre_line, first_above

_FEWEST_CASES = 10
"""That have both labels."""
_PENALTIES = tuple(10**power for power in (0, 0.5, 1, 1.5, 2, 2.5, 3, 4))
"""Of squared weights, where each measure has a standard deviation of 1."""
_DIGITS = 6


@dataclass(frozen=True)
class LearnedLine:
    """What a centre line tells of a plane, and how well."""

    start: float
    """Voxels, as :class:`~segline.plan.inference.planes.CentreLine` has it."""
    weights: tuple[float, ...]
    squared_error: float
    """Voxels squared, in the mean of label maps that were left out one by one."""


def place_in(label: np.ndarray, axis: int, lower: int, upper: int) -> int | None:
    """The first slice above the plane that parts two classes of a label map ``(X, Y, Z)`` best.

    ``None`` where one of them is not there.
    """
    across = tuple(other for other in range(3) if other != axis)
    below, above = ((label == one).sum(axis=across) for one in (lower, upper))
    if not below.any() or not above.any():
        return None
    return first_above(above - below)


def learn_line(labels: Iterable[np.ndarray], axis: int, lower: int, upper: int) -> LearnedLine | None:
    """Learn where the plane of two classes lies from the centre line of both.

    Args:
        labels: ``(X, Y, Z)`` class indices on the plan's grid.
        axis: across which the plane lies.
        lower: the class below it.
        upper: the class above it.

    Returns:
        ``None`` where fewer than ten label maps have both classes.
    """
    known = []
    for label in labels:
        if (place := place_in(label, axis, lower, upper)) is not None:
            centre, measures = centre_line((label == lower) | (label == upper), axis)
            known.append((place - centre, measures))
    if len(known) < _FEWEST_CASES:
        return None
    places = np.array([place for place, _ in known])
    return _ridge(np.stack([measures for _, measures in known]), places)


def _ridge(measures: np.ndarray, places: np.ndarray) -> LearnedLine:
    """Places from measures, by the penalty with which those left out one by one are told best."""
    mean, deviation = measures.mean(axis=0), measures.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1)
    left, singular, right = np.linalg.svd((measures - mean) / deviation, full_matrices=False)
    middle = places.mean()
    along = left.T @ (places - middle)
    best = np.inf, 0.0
    for penalty in _PENALTIES:
        shrunk = singular**2 / (singular**2 + penalty)
        leverage = left**2 @ shrunk + 1 / len(places)
        errors = (places - middle - left @ (shrunk * along)) / (1 - leverage)
        best = min(best, (float((errors**2).mean()), penalty))
    squared_error, penalty = best
    weights = right.T @ (singular / (singular**2 + penalty) * along) / deviation
    rounded = tuple(float(f"{weight:.{_DIGITS}g}") for weight in weights)
    return LearnedLine(float(f"{middle - mean @ rounded:.{_DIGITS}g}"), rounded, squared_error)
