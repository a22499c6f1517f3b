"""A finding, and what counts as out of line."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Level = Literal["refused", "wrong", "odd", "remark"]
LEVELS: tuple[Level, ...] = ("refused", "wrong", "odd", "remark")
"""The gravest first: not readable; an error, surely or nearly; unlike the others; good to know."""

MOST = 0.75
"""Share of the cases from which something is what cases have; what the rest has is out of line."""
FEWEST_CASES = 5
"""From which outliers are looked for."""
Z_LIMIT = 3.5
"""Of the robust z-score; Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993."""
_FEW_NAMES = 3
_SD_OF_MAD = 1.4826
"""Standard deviation of a normal distribution, in units of its median absolute deviation."""
LEAST_SD = 0.05
"""Of a logarithm: where nearly all cases are equal, a difference of a sixth still is none."""


@dataclass(frozen=True)
class Finding:
    """Something that a person should look at."""

    level: Level
    check: str
    """What was looked for, in a few words; findings of one check are told together."""
    case: str | None
    """``None`` for the whole data set."""
    what: str
    number: str
    """The figure that tells it; may be empty."""
    remedy: str
    """What to do."""


def robust_z(values: Mapping[str, float], least_sd: float = LEAST_SD) -> dict[str, float]:
    """Of the logarithms: distance from their median in units of 1.4826 median absolute deviations.

    That unit is taken to be ``least_sd`` at least. Empty for fewer than ``FEWEST_CASES`` values.
    """
    if len(values) < FEWEST_CASES:
        return {}
    logs = np.log(np.array(list(values.values())))
    distances = logs - np.median(logs)
    sd = max(_SD_OF_MAD * float(np.median(np.abs(distances))), least_sd)
    return {name: float(z) for name, z in zip(values, distances / sd, strict=True)}


def is_rule(count: int, total: int) -> bool:
    """Whether ``count`` of ``total`` cases make a rule."""
    return total > 1 and count >= MOST * total


def some_of(names: Collection[str]) -> str:
    """The first few names.

    >>> some_of(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    few = sorted(names)[:_FEW_NAMES]
    return ", ".join(few) + (f" and {len(names) - len(few)} more" if len(names) > len(few) else "")


def in_times(ratio: float) -> str:
    """How much of another thing one is.

    >>> in_times(1000.2), in_times(12.34), in_times(1 / 4096)
    ('1000 times', '12.3 times', '1/4096 of')
    """
    return f"{_three_digits(ratio)} times" if ratio > 1 else f"1/{_three_digits(1 / ratio)} of"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def median(values: Iterable[float]) -> float:
    """Of one value or more."""
    return float(np.median(list(values)))
