"""References: the cases that others are held against, and by how much one lies beyond all of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from segline.inference.familiarity.profiles import PERCENTS, Profile, turned

Aspect = Literal["spacing", "extent", "tilt", "values", "layout", "x", "y", "z", "volume"]
"""What is looked at; ``x``, ``y`` and ``z``: which way round it lies along that axis."""
AXES: tuple[Literal["x", "y", "z"], ...] = ("x", "y", "z")
FLOORS: Mapping[Aspect, float] = {
    "spacing": 0.15,
    "extent": 0.25,
    "tilt": 5.0,
    "values": 0.02,
    "layout": 0.01,
    "x": 0.25,
    "y": 0.25,
    "z": 0.25,
    "volume": 0.5,
}
"""The least that counts as far, however alike the cases are: octaves of lengths, degrees, shares of the range
of values and, for the rest, the unit of :meth:`Reference.excess_of`; octaves of volumes."""
_LEAST_ML = 1e-2
"""What an absent label counts as: a logarithm needs something."""


@dataclass(frozen=True)
class Beyond:
    """One figure of a case, and the range of the others' that it may lie beyond."""

    aspect: Aspect
    name: str
    """Of the axis, channel or label."""
    value: float
    low: float
    high: float
    percent: float = 0.0
    """Which percentile it is, of values."""
    excess: float = 0.0
    """In the aspect's unit; 0 within the range."""


@dataclass(frozen=True)
class Reference:
    """Cases that others are held against."""

    cases: Sequence[Profile]

    def excess_of(self, case: Profile) -> dict[Aspect, float]:
        """How far a case lies beyond these, in each aspect that both have.

        Of figures: how far beyond the range of these, in octaves, degrees, or shares of the range of values.
        ``layout``: root mean square difference of the block means from the nearest of these. ``x``, ``y``,
        ``z``: -1 where it lies as these do on average, 1 where it is turned around; the part of its block
        means that changes sign with such a turn, projected on that of their mean.
        """
        excess: dict[Aspect, float] = {}
        for figure in self.figures_of(case):
            excess[figure.aspect] = max(excess.get(figure.aspect, 0.0), figure.excess)
        if case.percentiles:
            blocks = case.blocks()
            excess["layout"] = self._nearest(blocks.ravel())
            for axis, name in enumerate(AXES):
                excess[name] = self._against(blocks, axis)
        return excess

    def figures_of(self, case: Profile) -> Iterator[Beyond]:
        """Every figure of a case beside the range of the others."""
        for axis, name in enumerate(AXES):
            spacings, extents = self._lengths
            yield _octaves("spacing", name, case.spacing_mm[axis], spacings[:, axis])
            yield _octaves("extent", name, case.extent_mm[axis], extents[:, axis])
        most = max(other.tilt_deg for other in self.cases)
        yield Beyond("tilt", "", case.tilt_deg, 0.0, most, excess=max(0.0, case.tilt_deg - most))
        for channel, mine in enumerate(case.percentiles):
            for number, percent in enumerate(PERCENTS):
                theirs = self._percentiles[:, channel, number]
                low, high = float(theirs.min()), float(theirs.max())
                excess = max(0.0, low - mine[number], mine[number] - high) / self._range(channel)
                yield Beyond("values", str(channel), mine[number], low, high, percent, excess)
        for label, ml in (case.volumes_ml or {}).items():
            known = [other.volumes_ml[label] for other in self.cases if other.volumes_ml]
            if known:
                yield _octaves("volume", label, ml, np.array(known))

    @cached_property
    def _lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Spacings and extents ``(n, 3)`` in mm."""
        spacings = np.array([case.spacing_mm for case in self.cases])
        return spacings, np.array([case.extent_mm for case in self.cases])

    @cached_property
    def _percentiles(self) -> np.ndarray:
        """``(n, C, percentiles)``."""
        return np.array([case.percentiles for case in self.cases])

    def _range(self, channel: int) -> float:
        values = self._percentiles[:, channel]
        return max(float(values.max() - values.min()), 1e-6)

    @cached_property
    def _blocks(self) -> np.ndarray:
        """``(n, C, blocks)``."""
        return np.stack([case.blocks() for case in self.cases])

    @cached_property
    def _odd_parts(self) -> list[np.ndarray]:
        """For each axis the part of their mean that changes sign when turned around."""
        mean = self._blocks.mean(axis=0)
        return [_odd_part(mean, axis) for axis in range(3)]

    def _nearest(self, blocks: np.ndarray) -> float:
        differences = self._blocks.reshape(len(self.cases), -1) - blocks
        return float(np.sqrt((differences * differences).mean(axis=1)).min())

    def _against(self, blocks: np.ndarray, axis: int) -> float:
        usual = self._odd_parts[axis]
        norm = float((usual * usual).sum())
        return -float((_odd_part(blocks, axis) * usual).sum()) / norm if norm > 0 else 0.0


def _odd_part(blocks: np.ndarray, axis: int) -> np.ndarray:
    return (blocks - turned(blocks, axis)) / 2


def _octaves(aspect: Aspect, name: str, value: float, known: np.ndarray) -> Beyond:
    low, high = float(known.min()), float(known.max())
    mine, least, most = (float(np.log2(max(number, _LEAST_ML))) for number in (value, low, high))
    return Beyond(aspect, name, value, low, high, excess=max(0.0, least - mine, mine - most))
