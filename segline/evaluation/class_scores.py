"""What predicted classes are worth together: figures that no mean over cases gives, and how sure they are."""

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from segline.evaluation.class_figures import Figures, figures_of

_RESAMPLES = 1000
_AT_ONCE = 100
"""Resamples that are in memory together."""
BINS = 10
"""Of the most probable class's probability, equally wide."""


class Measure(BaseModel):
    """A figure over all cases, with the 95 % percentile interval over resampled cases."""

    model_config = ConfigDict(frozen=True)

    value: float | None
    """``None`` where it is undefined, as the precision of a class that was never predicted."""
    ci95: tuple[float, float] | None = None


class Bin(BaseModel):
    """Cases whose predicted class had about this probability."""

    model_config = ConfigDict(frozen=True)

    count: int
    probability: float
    """Their mean."""
    accuracy: float
    """Share of them that is right."""


class ClassScores(BaseModel):
    """The test cases' classes and probabilities, and what follows from them."""

    model_config = ConfigDict(frozen=True)

    names: tuple[str, ...]
    truth: tuple[int, ...]
    """Index of each case's class."""
    probabilities: tuple[tuple[float, ...], ...]
    """Of each case, in the order of ``names``."""
    confusion: tuple[tuple[int, ...], ...]
    """Cases; a row a true class, a column a predicted one."""
    overall: dict[str, Measure]
    """Balanced accuracy, macro F1 and AUC, and the expected calibration error."""
    by_class: dict[str, dict[str, Measure]]
    """Precision, recall, F1 and one-vs-rest AUC of each."""
    reliability: tuple[Bin, ...]
    """The bins that are not empty, the lowest probability first."""

    @classmethod
    def of(cls, names: Sequence[str], truth: Sequence[int], probabilities: Sequence[Sequence[float]]) -> Self:
        """Measure the cases; ``truth`` are class indices, ``probabilities`` ``(cases, classes)``."""
        wanted, shares = np.asarray(truth, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
        (whole,) = figures_of(wanted, shares, np.ones((1, len(wanted))), BINS)
        resampled = _resampled(wanted, shares)
        by_class = {
            name: {figure: _measure(whole, resampled, figure, index) for figure in BY_CLASS}
            for index, name in enumerate(names)
        }
        return cls(
            names=tuple(names),
            truth=tuple(int(index) for index in wanted),
            probabilities=tuple(tuple(float(share) for share in row) for row in shares),
            confusion=_confusion(wanted, shares),
            overall={figure: _measure(whole, resampled, figure) for figure in OVERALL},
            by_class=by_class,
            reliability=_bins(wanted, shares),
        )

    @classmethod
    def total(cls, every: Iterable["ClassScores"]) -> Self:
        """Of all cases together; there is one at least."""
        each = list(every)
        truth = [index for one in each for index in one.truth]
        return cls.of(each[0].names, truth, [row for one in each for row in one.probabilities])

    @property
    def scalars(self) -> dict[str, float | None]:
        """Each figure and its interval's ends by name, those of a class below the class's."""
        groups = {"": self.overall, **{f"{name}/": measures for name, measures in self.by_class.items()}}
        told: dict[str, float | None] = {}
        for group, measures in groups.items():
            for figure, measure in measures.items():
                low, high = measure.ci95 or (None, None)
                ends = {"": measure.value, "_ci95_low": low, "_ci95_high": high}
                told |= {f"{group}{figure}{end}": value for end, value in ends.items()}
        return told


OVERALL = {
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "macro_auc": "Macro AUC",
    "ece": "Expected calibration error",
}
"""Titles of the figures over all classes."""
BY_CLASS = {"precision": "Precision", "recall": "Recall", "f1": "F1", "auc": "AUC, one against the rest"}
"""Titles of the figures of each class."""


def _resampled(truth: np.ndarray, shares: np.ndarray) -> list[Figures]:
    """The figures of cases drawn with replacement, the same for the same cases."""
    if len(truth) < 2:
        return []
    rng, figures = np.random.default_rng(0), list[Figures]()
    for _ in range(_RESAMPLES // _AT_ONCE):
        weights = rng.multinomial(len(truth), np.full(len(truth), 1 / len(truth)), size=_AT_ONCE)
        figures += figures_of(truth, shares, weights.astype(np.float64), BINS)
    return figures


def _measure(whole: Figures, resampled: Sequence[Figures], figure: str, index: int | None = None) -> Measure:
    def value(figures: Figures) -> float:
        found = figures[figure]
        return float(found if index is None else np.asarray(found)[index])

    if np.isnan(value(whole)):
        return Measure(value=None)
    drawn = [one for one in map(value, resampled) if not np.isnan(one)]
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (np.nan, np.nan)
    return Measure(value=value(whole), ci95=(float(low), float(high)) if drawn else None)


def _confusion(truth: np.ndarray, shares: np.ndarray) -> tuple[tuple[int, ...], ...]:
    classes = shares.shape[1]
    counts = np.bincount(truth * classes + shares.argmax(1), minlength=classes**2)
    return tuple(tuple(int(count) for count in row) for row in counts.reshape(classes, classes))


def _bins(truth: np.ndarray, shares: np.ndarray) -> tuple[Bin, ...]:
    most, right = shares.max(1), shares.argmax(1) == truth
    numbers = np.minimum((most * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            count=int(inside.sum()),
            probability=float(most[inside].mean()),
            accuracy=float(right[inside].mean()),
        )
        for number in range(BINS)
        if (inside := numbers == number).any()
    )
