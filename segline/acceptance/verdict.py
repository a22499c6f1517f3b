"""The verdict of the gate, and why a backend is absent from it."""

from pydantic import BaseModel, ConfigDict

from segline.backends import Precision
from segline.common.documents import Document
from segline.evaluation.equivalence import Equivalence
from segline.plan import Agreement, Gate

ABSENT = "absent.json"
"""What lies in a backend's folder in place of an evaluation that could not be made."""


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
    dice_difference: float
    """Largest absolute difference over labels; 1 where only one of the two is defined."""
    nsd_difference: float
    """Likewise."""
    voxel_agreement: float


class JudgedBackend(BaseModel):
    """One backend over all test cases."""

    model_config = ConfigDict(frozen=True)

    backend: str
    precision: Precision
    mean_dice: float | None
    equivalence: Equivalence | None
    """Of its Dice, the mean over labels, to PyTorch's; ``None`` for PyTorch itself."""


class Verdict(Document):
    """Whether the model may be registered; if not, why."""

    kind = "a verdict"
    stage = "compare"

    passed: bool
    reasons: tuple[str, ...]
    """One a failed requirement; empty when passed."""
    notes: tuple[str, ...]
    """What was not required and could not be done; it does not block."""
    requirements: Gate
    cases: int
    backends: tuple[JudgedBackend, ...]
    """PyTorch first."""
    comparisons: tuple[CaseComparison, ...]
    absent: tuple[Absence, ...]

    def comparisons_of(self, backend: str) -> list[CaseComparison]:
        """The cases of one backend; none of PyTorch."""
        return [comparison for comparison in self.comparisons if comparison.backend == backend]

    @property
    def scalars(self) -> dict[str, float]:
        """The verdict in figures, for systems that track numbers; what is undefined is left out."""
        found: dict[str, float | None] = {"passed": float(self.passed)}
        for judged in self.backends:
            found[f"{judged.backend}_mean_dice"] = judged.mean_dice
            if ours := self.comparisons_of(judged.backend):
                found[f"{judged.backend}_largest_dice_difference"] = max(c.dice_difference for c in ours)
                found[f"{judged.backend}_smallest_voxel_agreement"] = min(c.voxel_agreement for c in ours)
            if judged.equivalence:
                found[f"{judged.backend}_tost_p"] = judged.equivalence.p
        return {name: value for name, value in found.items() if value is not None}


def required_agreement(precision: Precision, requirements: Gate) -> Agreement:
    """What is asked of a backend that computes in ``precision``."""
    return requirements.float32 if precision == "float32" else requirements.reduced
