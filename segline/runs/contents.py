"""Every part of a run that is there."""

from dataclasses import dataclass

from segline.acceptance.comparison import Comparison
from segline.acceptance.times import Benchmark
from segline.acceptance.verdict import Verdict
from segline.backends import REFERENCE
from segline.data.manifest import Manifest
from segline.evaluation.folds import CrossValidation
from segline.evaluation.records import Evaluation
from segline.model.history import History
from segline.model.package import Model
from segline.plan import Plan
from segline.training.tuning.record import Tuning


@dataclass(frozen=True)
class Contents:
    """Every part of a run that is there; a damaged one is a line of ``problems``, and hides no other."""

    manifest: Manifest | None
    plan: Plan | None
    tuning: Tuning | None
    history: History | None
    model: Model | None
    evaluations: tuple[Evaluation, ...]
    verdict: Verdict | None
    benchmark: Benchmark | None
    cross_validation: CrossValidation | None
    comparison: Comparison | None
    problems: tuple[str, ...]

    @property
    def reference(self) -> Evaluation | None:
        """The evaluation of PyTorch, to which every other backend is held."""
        return next((each for each in self.evaluations if each.backend == REFERENCE), None)

    @property
    def only_folds(self) -> bool:
        """Whether this is a cross-validation without a model of its own."""
        ensemble = self.plan is not None and self.plan.ensemble.members > 1
        return self.cross_validation is not None and not ensemble
