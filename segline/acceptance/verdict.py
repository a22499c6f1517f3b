"""The verdict of the gate, and why a backend is absent from it."""

from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from segline.backends import Precision
from segline.common.documents import Document
from segline.common.documents.names import GATE
from segline.evaluation.equivalence import Equivalence
from segline.evaluation.figures import figures_among
from segline.plan import Agreement, Gate, by_figure


class Absence(Document):
    """Why a backend was not evaluated."""

    kind = "an absence"
    stage = "evaluate"

    backend: str
    reason: str


class CaseComparison(BaseModel):
    """One test case of one backend against PyTorch."""

    model_config = ConfigDict(frozen=True)

    backend: str
    case: str
    differences: dict[str, float]
    """Of each figure that is asked for, the largest over labels; 1 where only one of the two is defined."""
    agreement: float
    """Share of the answer's parts that are equal."""

    @model_validator(mode="before")
    @classmethod
    def _by_figure(cls, values: Any) -> Any:
        """Comparisons were written flat, as agreements still are."""
        return by_figure(values)


class JudgedBackend(BaseModel):
    """One backend over all test cases."""

    model_config = ConfigDict(frozen=True)

    backend: str
    precision: Precision
    mean_score: float | None = Field(validation_alias=AliasChoices("mean_score", "mean_dice"))
    """Of the figure that decides."""
    equivalence: Equivalence | None
    """Of its scores to PyTorch's; ``None`` for PyTorch itself."""
    failures: tuple[str, ...] = ()
    """What it does not meet."""


class Verdict(Document):
    """Whether the model may be registered; if not, why."""

    kind = "a verdict"
    stage = "compare"

    passed: bool
    reasons: tuple[str, ...]
    """One a failed requirement; empty when passed."""
    notes: tuple[str, ...]
    """What was not required and could not be done, or was not met; it does not block."""
    requirements: Gate
    cases: int
    backends: tuple[JudgedBackend, ...]
    """PyTorch first."""
    comparisons: tuple[CaseComparison, ...]
    absent: tuple[Absence, ...]
    decides: str = "dice"
    """Name of the figure that decides."""
    part: str = "voxel"
    """What two answers agree in a share of."""

    @property
    def title(self) -> str:
        """Of the figure that decides."""
        return figures_among([self.decides])[0].title

    @property
    def unused(self) -> list[JudgedBackend]:
        """Those that failed and do not block: they are not used where the choice is left open."""
        return [judged for judged in self.backends if not set(judged.failures) <= set(self.reasons)]

    def comparisons_of(self, backend: str) -> list[CaseComparison]:
        """The cases of one backend; none of PyTorch."""
        return [comparison for comparison in self.comparisons if comparison.backend == backend]

    @property
    def scalars(self) -> dict[str, float]:
        """The verdict in figures, for systems that track numbers; what is undefined is left out."""
        scalars: dict[str, float | None] = {"passed": float(self.passed)}
        for judged in self.backends:
            scalars[f"{judged.backend}_mean_{self.decides}"] = judged.mean_score
            scalars |= self._extremes(judged.backend)
            if judged.equivalence:
                scalars[f"{judged.backend}_tost_p"] = judged.equivalence.p
        return {name: value for name, value in scalars.items() if value is not None}

    def _extremes(self, backend: str) -> dict[str, float]:
        ours = self.comparisons_of(backend)
        differences = [c.differences[self.decides] for c in ours if self.decides in c.differences]
        extremes = {f"{backend}_largest_{self.decides}_difference": max(differences)} if differences else {}
        if ours:
            extremes[f"{backend}_smallest_{self.part}_agreement"] = min(c.agreement for c in ours)
        return extremes


def shown_equivalent(package: Path) -> frozenset[str]:
    """Backends that a passed gate has held to PyTorch: as the verdict in a registered package says, or that
    of the run whose package it is; none where there is no verdict.

    Raises:
        SeglineError: the verdict is damaged.
    """
    for path in (package / GATE, package.parent / GATE):
        if path.is_file():
            verdict = Verdict.read(path)
            held = [one for one in verdict.backends if not one.failures and verdict.passed]
            return frozenset(one.backend for one in held if one.equivalence and one.equivalence.shown)
    return frozenset()


def required_agreement(precision: Precision, requirements: Gate) -> Agreement:
    """What is asked of a backend that computes in ``precision``."""
    return requirements.float32 if precision == "float32" else requirements.reduced
