"""Splits: which cases train, which choose the weights, and which are only tested."""

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from segline.common.errors import SeglineError
from segline.common.wording import counted
from segline.plan import Share, Split

SPLIT_PARTS = ("train", "val", "test")


class SplitRule(BaseModel):
    """How cases are split; a task may say any of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    test_share: Share = 0.2
    val_share: Share = 0.1
    folds: int = Field(default=0, ge=0)
    """Where not 0, each case is tested in exactly one of so many folds, or as ``fold_cases`` says."""
    fold: int = Field(default=0, ge=0)
    """Which of them this is."""
    seed: int = 0
    fold_cases: tuple[tuple[str, ...], ...] = ()
    """Published folds: the test cases of each, by which ``folds`` goes; cases in none are never tested."""

    @property
    def next(self) -> "SplitRule":
        """Of the fold after this one; the first comes after the last."""
        return self.model_copy(update={"fold": (self.fold + 1) % self.folds}) if self.folds else self


Twins = Sequence[Sequence[str]]
"""Groups of names that one image has."""


Strata = Mapping[str, float]
"""What cases have, of which every part is to have its share, such as a class; by name."""
NONE: Strata = MappingProxyType({})


def split_cases(
    names: Sequence[str], rule: SplitRule, twins: Twins = (), strata: Strata = NONE
) -> dict[str, Any]:
    """Shuffle cases into train, val and test; at least one each, and as many as possible to train.

    A fold validates on cases that the next one tests, so that no case validates in two, unless there are too
    few: what is peculiar to a few cases is not in the choices of all folds. Of ``twins``, one is drawn for
    all, unless the cases of the folds are listed. Each of the ``strata`` is shared out alike.

    Raises:
        SeglineError: fewer than three cases, no such fold, too few cases are left to train and validate, or
            the listed folds fit neither the cases nor their number.
    """
    groups = among(names, twins)
    if groups and not rule.fold_cases:
        followers = {name for group in groups for name in group[1:]}
        drawn = split_cases([name for name in names if name not in followers], rule, strata=strata)
        parts = {part: drawn[part] for part in SPLIT_PARTS}
        return {**drawn, **_with_twins(parts, groups), "twins": groups}
    if len(names) < 3:
        raise SeglineError(
            f"split: {counted(len(names), 'labelled case')}, at least 3 are needed (train, val, test)"
        )
    if rule.folds and not (2 <= rule.folds <= len(names) and rule.fold < rule.folds):
        raise SeglineError(
            f"split: fold {rule.fold} of {rule.folds} over {len(names)} cases does not exist; "
            "folds count from 0"
        )
    if rule.fold_cases:
        _require_listed_folds(rule, names)
    shuffled = _shuffled(names, rule.seed, strata)
    test, tested_next = (frozenset(_test_cases(fold, shuffled, strata)) for fold in (rule, rule.next))
    rest = [name for name in shuffled if name not in test]
    if len(rest) < 2:
        raise SeglineError(
            f"split: {len(test)} of {len(names)} cases for test leave none to train or validate"
        )
    rest.sort(key=lambda name: name not in tested_next)
    val_count = min(max(1, round(rule.val_share * len(names))), len(rest) - 1)
    parts = {"train": sorted(rest[val_count:]), "val": sorted(rest[:val_count]), "test": sorted(test)}
    return {**parts, "strata": dict(strata)} if strata else parts


def continued_split(
    previous: Split, names: Sequence[str], seed: int = 0, strata: Strata = NONE
) -> dict[str, Any]:
    """Every case where it was; of new cases, test and validation get the usual share, training the rest.

    Raises:
        SeglineError: a part of ``previous`` has no case left among ``names``.
    """
    there = set(names)
    parts = {part: [name for name in getattr(previous, part) if name in there] for part in SPLIT_PARTS}
    for part, kept in parts.items():
        if not kept:
            raise SeglineError(f"split: none of the champion's {part} cases is left in the data set")
    new = _shuffled(there - {name for kept in parts.values() for name in kept}, seed, strata)
    usual = SplitRule()
    test, val = round(usual.test_share * len(new)), round(usual.val_share * len(new))
    added = {"test": new[:test], "val": new[test : test + val], "train": new[test + val :]}
    whole = {part: sorted([*kept, *added[part]]) for part, kept in parts.items()}
    return {**whole, "twins": among(names, previous.twins), "strata": dict(strata)}


def among(names: Collection[str], twins: Twins) -> list[list[str]]:
    """The groups of which two or more are named."""
    there = set(names)
    groups = [[name for name in group if name in there] for group in twins]
    return [group for group in groups if len(group) > 1]


def _shuffled(names: Collection[str], seed: int, strata: Strata) -> list[str]:
    """In an order of which every stretch has of each stratum about its share."""
    shuffled = sorted(names)
    random.Random(seed).shuffle(shuffled)
    if not strata:
        return shuffled
    sizes, seen, place = Counter(map(strata.get, shuffled)), Counter[float | None](), dict[str, float]()
    for name in shuffled:
        stratum = strata.get(name)
        place[name] = (seen[stratum] + 0.5) / sizes[stratum]
        seen[stratum] += 1
    return sorted(shuffled, key=place.__getitem__)


def _with_twins(parts: Mapping[str, Sequence[str]], twins: Twins) -> dict[str, list[str]]:
    """Each of a group where its first is."""
    others = {first: rest for first, *rest in twins}
    return {
        part: sorted([*cases, *(name for case in cases for name in others.get(case, ()))])
        for part, cases in parts.items()
    }


def _test_cases(rule: SplitRule, shuffled: Sequence[str], strata: Strata) -> Sequence[str]:
    if not rule.folds:
        return shuffled[: max(1, round(rule.test_share * len(shuffled)))]
    if rule.fold_cases:
        return rule.fold_cases[rule.fold]
    dealt = sorted(shuffled, key=lambda name: strata.get(name, 0.0))
    return dealt[rule.fold :: rule.folds]


def _require_listed_folds(rule: SplitRule, names: Sequence[str]) -> None:
    listed = [name for cases in rule.fold_cases for name in cases]
    twice = sorted(name for name, times in Counter(listed).items() if times > 1)
    if unknown := set(listed) - set(names):
        raise SeglineError(
            f"split.fold_cases: the data set has no case {min(unknown)}; its first is {min(names)}"
        )
    if twice:
        raise SeglineError(f"split.fold_cases: case {twice[0]} is listed more than once")
    for fold, cases in enumerate(rule.fold_cases):
        if not cases:
            raise SeglineError(f"split.fold_cases: fold {fold} has no case to test")
    if rule.folds not in (0, len(rule.fold_cases)):
        raise SeglineError(
            f"split.fold_cases: {len(rule.fold_cases)} folds are listed, {rule.folds} are asked for"
        )
