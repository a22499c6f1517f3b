"""What was found of each case, and over cases: the records of an evaluation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from segline.backends import Precision
from segline.common.documents import Document
from segline.evaluation.confusion import Confusion
from segline.evaluation.estimates import Estimate
from segline.evaluation.figures import Figure, figures_among
from segline.evaluation.label_metrics import LabelMetrics
from segline.evaluation.roc import ScoreCounts

EVALUATION = "evaluation.json"
"""Its file, beside the masks."""
WORST_CASES = 5


class CaseEvaluation(BaseModel):
    """One test case."""

    model_config = ConfigDict(frozen=True)

    case: str
    labels: dict[str, LabelMetrics]
    mask: str
    """File name of the predicted mask, beside the evaluation."""

    @property
    def mean_dice(self) -> float:
        """Over labels; an undefined Dice, which no metric gives, counts as 0."""
        return float(np.mean([metrics.dice or 0.0 for metrics in self.labels.values()]))


class Evaluation(Document):
    """What a backend's predictions are worth, with the digests it rests on."""

    kind = "an evaluation"
    stage = "evaluate"

    backend: str
    backend_version: str
    precision: Precision
    plan_digest: str
    dataset_digest: str
    nsd_tolerance_mm: float
    cases: tuple[CaseEvaluation, ...]
    overall: dict[str, Estimate]
    """Each figure's mean over labels, estimated over cases; the first decides.

    A figure that must be whole is missing for the case where one label lacks it; a label without any truth
    takes no part in the rest.
    """
    by_label: dict[str, dict[str, Estimate]]
    worst: tuple[str, ...]
    """Cases of the lowest mean Dice, the worst first."""
    confusion: Confusion | None = None
    """Over all voxels of the label files."""
    scores: ScoreCounts | None = None
    """Over the voxels of the plan's grid, which the network gave scores for."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What was measured, the deciding figure first."""
        return figures_among(self.overall)

    def tolerance_mm(self, figure: Figure) -> float | None:
        """Distance up to which ``figure`` counted two surfaces as equal; ``None`` where there is none."""
        return self.nsd_tolerance_mm if figure.name == "nsd" else None


def figures_over(
    cases: Sequence[CaseEvaluation], labels: Sequence[str], figures: Sequence[Figure]
) -> dict[str, Any]:
    """The parts of an :class:`Evaluation` that follow from its cases."""
    ranked = sorted(cases, key=lambda case: case.mean_dice)
    return {
        "cases": tuple(cases),
        "overall": {
            figure.name: Estimate.of([_over_labels(case, figure) for case in cases]) for figure in figures
        },
        "by_label": {label: _of_label(cases, label, figures) for label in labels},
        "worst": tuple(case.case for case in ranked[:WORST_CASES]),
    }


def _of_label(cases: Sequence[CaseEvaluation], label: str, figures: Sequence[Figure]) -> dict[str, Estimate]:
    return {
        figure.name: Estimate.of([getattr(case.labels[label], figure.name) for case in cases])
        for figure in figures
    }


def _over_labels(case: CaseEvaluation, figure: Figure) -> float | None:
    values = [getattr(metrics, figure.name) for metrics in case.labels.values()]
    defined = [value for value in values if value is not None]
    if figure.whole and len(defined) < len(values):
        return None
    return float(np.mean(defined)) if defined else None
