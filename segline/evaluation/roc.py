"""The ROC of foreground against background, over voxels, from a histogram of the network's scores.

A voxel's score is its log-odds of belonging to any foreground label. Counting them in 256 levels keeps a byte
a voxel and nothing else of a case, and cases, folds and machines are added up by adding their counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from segline.common.arrays import Array, as_numpy, functions_for, inferring

LEVELS = 256
STEPS = 8
"""Levels to a unit of log-odds: they reach from -16 to 16, probabilities of 1e-7 and 1 - 1e-7."""


def score_levels(leads: Array) -> np.ndarray:
    """The level of each voxel's score.

    Args:
        leads: ``(K - 1, X, Y, Z)`` float32, each foreground class's score less the background's, before
            softmax.

    Returns:
        ``(X, Y, Z)`` uint8.
    """
    xp = functions_for(leads)
    with inferring(leads):
        log_odds = _log_sum(leads) * STEPS
        log_odds += LEVELS // 2
        levels = xp.astype(xp.clip(log_odds, 0, LEVELS - 1, out=log_odds), xp.uint8)
    return as_numpy(levels)


def _log_sum(leads: Array) -> Array:
    """Logarithm of the sum of what the leads ``(K - 1, X, Y, Z)`` are logarithms of."""
    if len(leads) == 1:
        return leads[0]
    xp = functions_for(leads)
    highest = xp.max(leads, axis=0)
    return highest + xp.log(xp.sum(xp.exp(leads - highest), axis=0))


@dataclass(frozen=True)
class Roc:
    """Points of the curve, from the strictest threshold to none."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    threshold: tuple[float, ...]
    """Least probability of foreground that counts as foreground, 1 to 0."""

    @property
    def area(self) -> float:
        """Under the curve, by trapezoids."""
        return float(np.trapezoid(self.true_positive_rate, self.false_positive_rate))


class ScoreCounts(BaseModel, frozen=True):
    """Voxels counted by level of their score."""

    foreground: tuple[int, ...]
    """``LEVELS`` counts of the voxels that belong to a foreground label."""
    background: tuple[int, ...]

    @classmethod
    def of(cls, levels: np.ndarray, truth: np.ndarray) -> "ScoreCounts":
        """Count one case: levels of :func:`score_levels`, and class indices on the same grid."""
        every = np.bincount(levels.ravel(), minlength=LEVELS)
        foreground = np.bincount(levels[truth > 0], minlength=LEVELS)
        return cls(foreground=tuple(foreground.tolist()), background=tuple((every - foreground).tolist()))

    @classmethod
    def total(cls, counts: Iterable["ScoreCounts"]) -> "ScoreCounts":
        """Of all cases together; there is one at least."""
        every = list(counts)
        foreground = np.sum([one.foreground for one in every], axis=0)
        background = np.sum([one.background for one in every], axis=0)
        return cls(foreground=tuple(foreground.tolist()), background=tuple(background.tolist()))

    def roc(self) -> Roc | None:
        """The curve, without repeated points; ``None`` where no voxel is foreground, or every one is."""
        if not sum(self.foreground) or not sum(self.background):
            return None
        hits = np.cumsum((0, *self.foreground[::-1])) / sum(self.foreground)
        alarms = np.cumsum((0, *self.background[::-1])) / sum(self.background)
        odds = np.exp(-(np.arange(LEVELS, 0, -1) - 1 - LEVELS // 2) / STEPS)
        thresholds = np.array([1.0, *(1 / (1 + odds[:-1])), 0.0])
        new = np.flatnonzero(np.diff(hits, prepend=-1) + np.diff(alarms, prepend=-1))
        return Roc(tuple(alarms[new].tolist()), tuple(hits[new].tolist()), tuple(thresholds[new].tolist()))
