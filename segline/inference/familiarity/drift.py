"""Drift: whether the inputs of a model in service have left what it learned from, answer by answer.

A record is a file of lines, one an answer, which say nothing of a patient. Of inputs like the calibration
cases, the number beyond a conformal threshold is beta-binomial (Vovk, Conditional validity of inductive
conformal predictors, ACML 2012): few calibration cases say little about the rate, and a plain binomial test
would call that drift.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from segline.common.errors import SeglineError
from segline.inference.familiarity.judging import Familiarity

DRIFT = "drift"
"""Where a depot has the records, ``*.jsonl`` and what they were rotated to."""
SURE = 1e-3
"""Of a test's p-value: below it the inputs have drifted."""


class Entry(BaseModel):
    """One answer."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    time: datetime
    model: str
    """As in ``spleen/3``."""
    distance: float
    trusted: bool
    rate: float = Field(gt=0, le=1)
    """Of ordinary inputs that are not trusted."""
    calibration_cases: int = Field(ge=0)
    """How many that rate is of."""
    kinds: tuple[str, ...] = ()
    """What the reasons were about."""

    @classmethod
    def of(cls, familiar: Familiarity, model: str) -> "Entry":
        """Of an answer of ``model`` that was given now."""
        return cls(
            time=datetime.now(UTC).replace(microsecond=0),
            model=model,
            distance=familiar.distance,
            trusted=familiar.trusted,
            rate=familiar.rate,
            calibration_cases=familiar.calibration_cases,
            kinds=familiar.kinds,
        )

    def line(self) -> str:
        """As JSON, with the end of the line."""
        return self.model_dump_json() + "\n"


@dataclass(frozen=True)
class Drift:
    """What the answers of one model come to."""

    model: str
    since: datetime
    answers: int
    untrusted: int
    expected: float
    """Of so many that are like the calibration cases."""
    p_value: float
    """Of as many, at least, among inputs that are like them."""
    kinds: tuple[tuple[str, int], ...]
    """What the reasons were about, and how often, the most frequent first."""

    @property
    def is_sure(self) -> bool:
        """Whether the inputs are others than the model learned from: a reason to train on such ones."""
        return self.p_value < SURE

    @property
    def words(self) -> str:
        """In one line."""
        share = self.untrusted / self.answers
        told = (
            f"of {self.answers} answers of {self.model} since {self.since:%Y-%m-%d}, {self.untrusted} "
            f"({share:.0%}) were not trusted, {self.expected:.0f} expected"
        )
        why = ", ".join(f"{kind} {times}" for kind, times in self.kinds)
        told += f" ({why})" if why else ""
        return told + ("; the inputs have drifted: label such cases and retrain" if self.is_sure else "")


def read_record(paths: Iterable[Path]) -> list[Entry]:
    """The entries of the files of a record, by time; a line that was cut off by a kill is left out.

    Raises:
        SeglineError: a file cannot be read, or has no line of a record.
    """
    entries: list[Entry] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise SeglineError(f"{path}: cannot be read ({error.strerror})") from error
        found = [entry for entry in map(_entry, lines) if entry]
        if lines and not found:
            raise SeglineError(f"{path}: no line of it is of a drift record; name the file that serve wrote")
        entries += found
    return sorted(entries, key=lambda entry: entry.time)


def drift_of(entries: Sequence[Entry], task: str = "") -> Drift | None:
    """What the answers of the latest model come to, of ``task`` where one is named; ``None`` without any."""
    asked = [entry for entry in entries if not task or entry.model.partition("/")[0] == task]
    if not asked:
        return None
    latest = asked[-1]
    among = [entry for entry in asked if entry.model == latest.model]
    untrusted = [entry for entry in among if not entry.trusted]
    kinds = Counter(chain.from_iterable(entry.kinds for entry in untrusted))
    return Drift(
        model=latest.model,
        since=among[0].time,
        answers=len(among),
        untrusted=len(untrusted),
        expected=latest.rate * len(among),
        p_value=_p_value(len(among), len(untrusted), latest),
        kinds=tuple(kinds.most_common()),
    )


def _entry(line: str) -> Entry | None:
    try:
        return Entry.model_validate_json(line)
    except ValueError:
        return None


def _p_value(answers: int, untrusted: int, entry: Entry) -> float:
    """Of as many untrusted answers, at least."""
    if entry.rate >= 1:
        return 1.0
    from scipy.special import betaln, gammaln  # whose statistics take seconds to import

    beyond = entry.rate * (entry.calibration_cases + 1)
    within = (entry.calibration_cases + 1) - beyond
    many = np.arange(untrusted, answers + 1)
    ways = gammaln(answers + 1) - gammaln(many + 1) - gammaln(answers - many + 1)
    logs = ways + betaln(many + beyond, answers - many + within) - betaln(beyond, within)
    return min(1.0, float(np.exp(logs).sum()))
