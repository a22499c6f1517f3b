"""What was found of each case, and over cases: the records of an evaluation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from segline.backends import Precision
from segline.common.documents import Document
from segline.evaluation.class_scores import ClassScores
from segline.evaluation.confusion import Confusion
from segline.evaluation.estimates import Estimate
from segline.evaluation.figures import Figure, figures_among
from segline.evaluation.roc import ScoreCounts

WORST_CASES = 5
Measured = dict[str, float | None]
"""Of one label in one case: by name, the figure that decides first; ``None`` where undefined."""


class CaseEvaluation(BaseModel):
    """One test case."""

    model_config = ConfigDict(frozen=True)

    case: str
    figures: dict[str, Measured] = Field(validation_alias=AliasChoices("figures", "labels"))
    """By label; of a case that has one class, under that alone."""
    answer: str = Field(validation_alias=AliasChoices("answer", "mask"))
    """File name of what was predicted, beside the evaluation."""

    @property
    def deciding(self) -> list[float | None]:
        """The figure that decides, of each label."""
        return [next(iter(measured.values())) for measured in self.figures.values()]

    @property
    def score(self) -> float:
        """The mean over labels of the figure that decides; an undefined one counts as 0."""
        return float(np.mean([value or 0.0 for value in self.deciding]))

    @property
    def order(self) -> tuple[float, float]:
        """By which cases are ranked, the worst first: the score, and of equal ones the second figure."""
        second = [list(measured.values())[1:2] for measured in self.figures.values()]
        return self.score, float(np.mean([value or 0.0 for values in second for value in values] or [0.0]))


class Evaluation(Document):
    """What a backend's predictions are worth, with the digests it rests on."""

    kind = "an evaluation"
    stage = "evaluate"

    backend: str
    backend_version: str
    precision: Precision
    plan_digest: str
    dataset_digest: str
    conditions: dict[str, float]
    """What the figures rest on, as ``nsd_tolerance_mm``."""
    cases: tuple[CaseEvaluation, ...]
    overall: dict[str, Estimate]
    """Each figure's mean over labels, estimated over cases; the first decides.

    A figure that must be whole is missing for the case where one label lacks it; a label without any truth
    takes no part in the rest.
    """
    by_label: dict[str, dict[str, Estimate]]
    worst: tuple[str, ...]
    """Cases of the lowest score, the worst first."""
    confusion: Confusion | None = None
    """Over all voxels of the label files."""
    scores: ScoreCounts | None = None
    """Over the voxels of the plan's grid, which the network gave scores for."""
    classes: ClassScores | None = Field(default=None, exclude_if=lambda classes: classes is None)
    """Of cases that have a class."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_tolerance(cls, values: Any) -> Any:
        """Evaluations were written with the tolerance of the NSD as their only condition."""
        if not isinstance(values, dict) or "nsd_tolerance_mm" not in values:
            return values
        rest = {name: value for name, value in values.items() if name != "nsd_tolerance_mm"}
        return {**rest, "conditions": {"nsd_tolerance_mm": values["nsd_tolerance_mm"]}}

    @model_validator(mode="after")
    def _one_figure_decides(self) -> "Evaluation":
        first = next(iter(self.overall), None)
        for case in self.cases:
            for label, measured in case.figures.items():
                if next(iter(measured), None) != first:
                    raise ValueError(f"{case.case}, {label}: {first} decides and must be the first figure")
        return self

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What was measured, the deciding figure first."""
        return figures_among(self.overall)

    def tolerance_mm(self, figure: Figure) -> float | None:
        """Distance up to which ``figure`` counted two surfaces as equal; ``None`` where there is none."""
        return self.conditions.get(f"{figure.name}_tolerance_mm")


def figures_over(
    cases: Sequence[CaseEvaluation], labels: Sequence[str], figures: Sequence[Figure]
) -> dict[str, Any]:
    """The parts of an :class:`Evaluation` that follow from its cases."""
    ranked = sorted(cases, key=lambda case: case.order)
    return {
        "cases": tuple(cases),
        "overall": {
            figure.name: Estimate.of([_over_labels(case, figure) for case in cases]) for figure in figures
        },
        "by_label": {label: _of_label(cases, label, figures) for label in labels},
        "worst": tuple(case.case for case in ranked[:WORST_CASES]),
    }


def _of_label(cases: Sequence[CaseEvaluation], label: str, figures: Sequence[Figure]) -> dict[str, Estimate]:
    measured = [case.figures[label] for case in cases if label in case.figures]
    return {figure.name: Estimate.of([one[figure.name] for one in measured]) for figure in figures}


def _over_labels(case: CaseEvaluation, figure: Figure) -> float | None:
    values = [measured[figure.name] for measured in case.figures.values()]
    defined = [value for value in values if value is not None]
    if figure.whole and len(defined) < len(values):
        return None
    return float(np.mean(defined)) if defined else None
