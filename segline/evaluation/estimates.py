"""Figures over cases: means with their uncertainty, and two runs on the same cases against each other."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, Field


class Estimate(BaseModel, frozen=True):
    """The mean of a figure over cases, and how sure it is.

    ``mean`` and ``median`` are ``None`` without values. ``ci95`` and ``sd``, the standard deviation over
    cases, are ``None`` with fewer than two: one case says nothing of the spread. ``missing`` counts the cases
    in which the figure is undefined; they take no part in the rest.
    """

    mean: float | None
    ci95: tuple[float, float] | None
    median: float | None
    count: int
    missing: int
    sd: float | None = Field(default=None, exclude_if=lambda sd: sd is None)

    @classmethod
    def of(cls, values: Sequence[float | None], seed: int = 0) -> "Estimate":
        """The estimate from one value a case, ``None`` where undefined.

        Raises:
            ValueError: a value is infinite or not a number, which has to be ``None`` instead.
        """
        defined = [value for value in values if value is not None]
        if not np.isfinite(defined).all():
            raise ValueError(f"{defined}: a value that is undefined must be None")
        return cls(
            mean=float(np.mean(defined)) if defined else None,
            ci95=bootstrap_ci95(defined, seed) if len(defined) > 1 else None,
            median=float(np.median(defined)) if defined else None,
            count=len(defined),
            missing=len(values) - len(defined),
            sd=float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        )


def bootstrap_ci95(values: Sequence[float], seed: int = 0, resamples: int = 2000) -> tuple[float, float]:
    """95 % confidence interval of the mean: percentile bootstrap, the same for the same arguments.

    Efron and Tibshirani, An introduction to the bootstrap (1993), chapter 13. With fewer than about ten
    values it is too narrow; read it as a lower bound of the uncertainty.

    Args:
        values: at least two, one a case.
        seed: of the resampling.
        resamples: means drawn.

    Raises:
        ValueError: fewer than two values, or one that is not finite.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2 or not np.isfinite(sample).all():
        raise ValueError(f"two or more finite values are needed, got {len(sample)}: {sample[:5]}")
    picks = np.random.default_rng(seed).integers(len(sample), size=(resamples, len(sample)))
    low, high = np.percentile(sample[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def paired_difference(a: Sequence[float | None], b: Sequence[float | None], seed: int = 0) -> Estimate:
    """The estimate of ``a - b`` case by case; above 0 where ``a`` is larger.

    ``a[i]`` and ``b[i]`` are of the same case. A pair with an undefined side is missing. Pairing removes
    the spread between cases, which hides small differences when two means are compared instead.

    Raises:
        ValueError: the lengths differ, or a difference is not finite.
    """
    return Estimate.of([None if x is None or y is None else x - y for x, y in zip(a, b, strict=True)], seed)
