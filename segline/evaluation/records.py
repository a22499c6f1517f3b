"""What was found of each case, and over cases: the records of an evaluation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from segline.backends import Precision
from segline.common.documents import Document
from segline.evaluation.confusion import Confusion
from segline.evaluation.estimates import Estimate
from segline.evaluation.label_metrics import LabelMetrics
from segline.evaluation.roc import ScoreCounts

EVALUATION = "evaluation.json"
"""Its file, beside the masks."""
METRICS = ("dice", "nsd", "hd95_mm", "sensitivity", "relative_volume_error", "lesion_detection_rate")
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
    """Each metric's mean over labels, estimated over cases.

    An HD95 that one label lacks is missing for the case; a label without any truth takes no part in the rest.
    """
    by_label: dict[str, dict[str, Estimate]]
    worst: tuple[str, ...]
    """Cases of the lowest mean Dice, the worst first."""
    confusion: Confusion | None = None
    """Over all voxels of the label files."""
    scores: ScoreCounts | None = None
    """Over the voxels of the plan's grid, which the network gave scores for."""


def figures_over(cases: Sequence[CaseEvaluation], labels: Sequence[str]) -> dict[str, Any]:
    """The parts of an :class:`Evaluation` that follow from its cases."""
    by_label = {
        label: {
            metric: Estimate.of([getattr(case.labels[label], metric) for case in cases]) for metric in METRICS
        }
        for label in labels
    }
    overall = {metric: Estimate.of([_mean_over_labels(case, metric) for case in cases]) for metric in METRICS}
    ranked = sorted(cases, key=lambda case: case.mean_dice)
    return {
        "cases": tuple(cases),
        "overall": overall,
        "by_label": by_label,
        "worst": tuple(case.case for case in ranked[:WORST_CASES]),
    }


def _mean_over_labels(case: CaseEvaluation, metric: str) -> float | None:
    values = [getattr(metrics, metric) for metrics in case.labels.values()]
    defined = [value for value in values if value is not None]
    # a missing HD95 is the worst there is: the mean of the other labels would hide it
    if metric == "hd95_mm" and len(defined) < len(values):
        return None
    return float(np.mean(defined)) if defined else None
