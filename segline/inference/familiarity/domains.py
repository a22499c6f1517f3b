"""Domains: what a model learned from, and how far from it is too far.

A case is held against the training cases in several aspects (:class:`Reference`). In each, what the training
cases come to when each is held against the others says what is usual: the median counts as 0 and the 97.5th
percentile as 1. The distance is the largest over the aspects, so 1 is about as far as the farthest of what
was learned.

The threshold is a conformal quantile (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World,
2005): of ``n`` calibration distances the ``ceil((n + 1) (1 - rate))``-th smallest, beyond which a new case of
the same population lies with a probability of at most ``rate``. The distance to the nearest known case is
after Sun et al., Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022, on block means
in place of a network's features.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from segline.inference.familiarity.profiles import Profile
from segline.inference.familiarity.references import AXES, FLOORS, Aspect, Beyond, Reference

RATE = 0.02
"""Of ordinary cases that may lie beyond the threshold."""
MOST_CASES = 96
"""So many training cases are kept, and as many validation cases calibrate."""
FEW = 19
"""With fewer distances their largest is no 95th percentile; then :data:`MARGIN` is left."""
MARGIN = 1.5
_USUAL_PERCENT = 97.5
_FARTHEST = 9999.0
_Any = TypeVar("_Any")


class Scale(BaseModel):
    """What is usual in one aspect."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    zero: float
    """The excess that counts as 0."""
    one: float = Field(gt=0)
    """By so much more counts as 1."""


class Domain(BaseModel):
    """What a model learned from, and how far from it is too far."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cases: tuple[Profile, ...] = Field(min_length=1)
    """Of the training."""
    scales: dict[Aspect, Scale]
    calibration: tuple[float, ...]
    """Distances of cases that the reference did not hold, in ascending order."""
    threshold: float
    rate: float
    """Of ordinary cases that lie beyond it, at most."""
    calibrated: str
    """In words, on what."""

    @model_validator(mode="after")
    def _cases_are_alike(self) -> "Domain":
        if len({(len(case.percentiles), len(case.layout)) for case in self.cases}) > 1:
            raise ValueError("cases: not of one number of channels")
        return self

    @classmethod
    def learned(cls, train: Sequence[Profile], val: Sequence[Profile]) -> "Domain":
        """Of a training's cases, calibrated on its validation cases; on both where those are few.

        A training case is held against the others, so that it is as new to them as a validation case.
        """
        reference, apart = Reference(train), _held_against_the_others(train)
        scales = {aspect: _scale(aspect, [each[aspect] for each in apart]) for aspect in _aspects(apart)}
        measured = [reference.excess_of(case) for case in val]
        words, enough = f"{len(val)} validation cases", len(val) >= math.ceil(1 / RATE) - 1
        if not enough:
            measured += apart
            words += f" and {len(apart)} training cases, each held against the others"
        distances = sorted(_distance(each, scales) for each in measured)
        threshold, rate, margin = _threshold(distances)
        return cls(
            cases=tuple(train),
            scales=scales,
            calibration=tuple(distances),
            threshold=threshold,
            rate=rate,
            calibrated=words + margin,
        )

    @cached_property
    def reference(self) -> Reference:
        """The training cases, to hold others against."""
        return Reference(self.cases)

    def distance(self, case: Profile) -> float:
        """How far a case lies from what was learned; about 1 for the farthest of that."""
        return _distance(self.reference.excess_of(case), self.scales)

    def distance_in(self, case: Profile, aspects: Sequence[Aspect]) -> float:
        """The same in some aspects alone."""
        excess = self.reference.excess_of(case)
        return _distance({aspect: excess[aspect] for aspect in aspects if aspect in excess}, self.scales)

    def p_value(self, distance: float) -> float:
        """Share of ordinary cases that lie as far, at least: ``(1 + those of n that do) / (n + 1)``."""
        farther = sum(known >= distance for known in self.calibration)
        return (1 + farther) / (1 + len(self.calibration))

    def too_far(self, case: Profile) -> dict[Aspect, float]:
        """Where a case lies beyond the threshold, with its distance in each aspect, farthest first."""
        scaled = _scaled(self.reference.excess_of(case), self.scales)
        far = {aspect: distance for aspect, distance in scaled.items() if distance > self.threshold}
        return dict(sorted(far.items(), key=lambda item: -item[1]))

    def figures_too_far(self, case: Profile, aspect: Aspect) -> list[Beyond]:
        """The figures that make it so in an aspect, of each axis, channel or label the farthest."""
        scale, worst = self.scales[aspect], dict[str, Beyond]()
        for figure in self.reference.figures_of(case):
            far = (figure.excess - scale.zero) / scale.one
            if figure.aspect == aspect and far > self.threshold:
                before = worst.get(figure.name)
                worst[figure.name] = figure if before is None or figure.excess > before.excess else before
        return list(worst.values())


def joined(domains: Sequence[Domain]) -> Domain:
    """Of networks that answer together: each case that one of them learned from counts once.

    A fold's validation cases are training cases of others, so each case is held against the others.
    """
    every = {case.model_dump_json(): case for domain in domains for case in domain.cases}
    return Domain.learned(thinned(list(every.values())), [])


def thinned(cases: Sequence[_Any]) -> Sequence[_Any]:
    """At most :data:`MOST_CASES` of them, evenly spaced."""
    if len(cases) <= MOST_CASES:
        return cases
    return [cases[int(number)] for number in np.linspace(0, len(cases) - 1, MOST_CASES)]


def _held_against_the_others(cases: Sequence[Profile]) -> list[dict[Aspect, float]]:
    if len(cases) < 2:
        return []
    every = list(cases)
    return [Reference(every[:n] + every[n + 1 :]).excess_of(case) for n, case in enumerate(every)]


def _aspects(measured: Sequence[Mapping[Aspect, float]]) -> list[Aspect]:
    found = {aspect for each in measured for aspect in each}
    return [aspect for aspect in FLOORS if aspect in found]


def _scale(aspect: Aspect, excesses: Sequence[float]) -> Scale:
    zero = float(np.median(excesses)) if aspect in ("layout", *AXES) else 0.0
    one = float(np.percentile(excesses, _USUAL_PERCENT)) - zero
    return Scale(zero=round(zero, 6), one=round(max(one, FLOORS[aspect]), 6))


def _scaled(excess: Mapping[Aspect, float], scales: Mapping[Aspect, Scale]) -> dict[Aspect, float]:
    return {
        aspect: min(max(0.0, (value - scales[aspect].zero) / scales[aspect].one), _FARTHEST)
        for aspect, value in excess.items()
        if aspect in scales
    }


def _distance(excess: Mapping[Aspect, float], scales: Mapping[Aspect, Scale]) -> float:
    return round(max(_scaled(excess, scales).values(), default=0.0), 4)


def _threshold(distances: Sequence[float]) -> tuple[float, float, str]:
    """The threshold, the share of ordinary cases beyond it, and what is said of its margin."""
    n = len(distances)
    if not n:
        return MARGIN, 1.0, ""
    rank = min(n, math.ceil((n + 1) * (1 - RATE)))
    margin = MARGIN if n < FEW else 1.0
    told = f"; {MARGIN:g} times the farthest, as they are few" if n < FEW else ""
    return max(1.0, round(distances[rank - 1] * margin, 4)), (n + 1 - rank) / (n + 1), told
