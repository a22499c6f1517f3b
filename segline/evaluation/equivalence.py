"""Tests of two runs on the same cases: whether they are equal within a margin, or one is worse."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

if TYPE_CHECKING:
    from torch import Tensor

EQUIVALENCE_LEVEL = 0.05
"""Chance to call two runs equivalent whose means differ by the margin."""
EQUIVALENCE_CASES = 3
"""Fewer say too little of the spread to test anything."""


class Equivalence(BaseModel, frozen=True):
    """Whether a mean paired difference is shown to be no larger than a margin, either way."""

    mean_difference: float
    ci90: tuple[float, float] | None
    """90 % confidence interval of the mean difference: within the margin just where ``p`` is below 5 %."""
    p: float | None
    """Of the two one-sided tests, the larger. ``None``, as the interval, with too few cases to test."""
    margin: float
    count: int
    """Cases."""

    @property
    def shown(self) -> bool | None:
        """Whether the two are equivalent at 5 %; ``None`` where that cannot be tested."""
        return None if self.p is None else self.p < EQUIVALENCE_LEVEL


def equivalence(differences: Sequence[float], margin: float) -> Equivalence:
    """Two one-sided paired t tests (TOST) that the mean of ``differences`` lies within ``margin`` of 0.

    Schuirmann, A comparison of the two one-sided tests procedure and the power approach for assessing the
    equivalence of average bioavailability, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987). The
    burden of proof is on equality: few or scattered cases fail it, where a test for a difference passes them.
    Without any spread there is nothing to estimate, and ``p`` is 0 within the margin and 1 beyond it.

    Args:
        differences: one a case, the figure of one run minus that of the other.
        margin: largest mean difference that is of no consequence, 0 or more, in the unit of the figure.

    Raises:
        ValueError: no differences, one that is not finite, or a margin below 0.
    """
    sample = np.asarray(differences, dtype=np.float64)
    if not len(sample) or not np.isfinite(sample).all() or not margin >= 0:
        raise ValueError(
            f"finite differences and a margin of 0 or more are needed, got {sample[:5]}, {margin}"
        )
    mean = float(sample.mean())
    measured = {"mean_difference": mean, "margin": margin, "count": len(sample)}
    if len(sample) < EQUIVALENCE_CASES:
        return Equivalence(**measured, ci90=None, p=None)
    # equal values leave rounding errors as a deviation: the mean of them is not exact
    if np.ptp(sample) == 0:
        return Equivalence(**measured, ci90=(mean, mean), p=float(abs(sample[0]) > margin))
    from scipy import stats

    above = stats.ttest_1samp(sample, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(sample, margin, alternative="less").pvalue
    interval = stats.ttest_1samp(sample, 0).confidence_interval(1 - 2 * EQUIVALENCE_LEVEL)
    return Equivalence(
        **measured, ci90=(float(interval.low), float(interval.high)), p=float(max(above, below))
    )


def shown_worse(dice: "Tensor", before: "Tensor", margin: float = 0.0) -> bool:
    """Whether ``dice`` ``(cases,)`` is below ``before`` by more than ``margin``, by a paired t test at 5 %.

    Of one case there is no spread to test with: there it is the margin alone.
    """
    from scipy.special import stdtrit  # a fifth of a second, which most stages need not pay

    difference, count = dice - before, len(dice)
    error = float(difference.std()) / math.sqrt(count) if count > 1 else 0.0
    by_chance = float(stdtrit(count - 1, 0.95)) * error if error else 0.0
    return float(difference.mean()) < -(margin + by_chance)
