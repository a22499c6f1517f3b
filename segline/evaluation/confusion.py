"""The confusion matrix: as which label the voxels of each label were predicted."""

from collections.abc import Iterable

import numpy as np
from pydantic import BaseModel

_VALUES = 256
"""Of label files and masks, which are uint8."""


class Confusion(BaseModel, frozen=True):
    """Voxels counted by true and predicted label."""

    labels: tuple[str, ...]
    """The background first."""
    voxels: tuple[tuple[int, ...], ...]
    """A row a true label, a column a predicted one."""

    @classmethod
    def of(cls, truth: np.ndarray, prediction: np.ndarray, labels: dict[int, str]) -> "Confusion":
        """Count one case.

        Args:
            truth: ``(X, Y, Z)`` label values up to 255.
            prediction: ``(X, Y, Z)`` label values up to 255, on the same grid.
            labels: value to name, the lowest of which is the background.
        """
        values = sorted(labels)
        # as NIfTI lies in memory; in the other order this takes several times as long
        wanted, predicted = truth.ravel(order="F"), prediction.ravel(order="F")
        marked = (wanted != values[0]) | (predicted != values[0])
        pairs = wanted[marked].astype(np.uint16) * _VALUES + predicted[marked].astype(np.uint16)
        counts = np.bincount(pairs, minlength=_VALUES**2).reshape(_VALUES, _VALUES)
        counts[values[0], values[0]] = truth.size - len(pairs)
        return cls(
            labels=tuple(labels[value] for value in values), voxels=_rows(counts[np.ix_(values, values)])
        )

    @classmethod
    def total(cls, confusions: Iterable["Confusion"]) -> "Confusion":
        """Of all cases together; there is one at least."""
        every = list(confusions)
        summed = np.sum([one.voxels for one in every], axis=0)
        return cls(labels=every[0].labels, voxels=_rows(summed))

    @property
    def dice(self) -> dict[str, float | None]:
        """Of each foreground label, over all voxels together; ``None`` where there is none of it at all."""
        counts = np.array(self.voxels, dtype=np.int64)
        sizes, both = counts.sum(0) + counts.sum(1), 2 * np.diagonal(counts)
        return {
            label: float(both[index] / sizes[index]) if sizes[index] else None
            for index, label in enumerate(self.labels)
            if index > 0
        }

    @property
    def shares(self) -> tuple[tuple[float | None, ...], ...]:
        """Each row as shares of the true label's voxels; ``None`` where it has none."""
        return tuple(tuple(count / sum(row) if sum(row) else None for count in row) for row in self.voxels)


def _rows(counts: np.ndarray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(count) for count in row) for row in counts)
