"""The yardstick of classes: which one each test case was found to be of, and how surely."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segline.common.errors import SeglineError
from segline.data.manifest import Manifest
from segline.data.targets.classes import index_of_class
from segline.evaluation.class_scores import ClassScores
from segline.evaluation.figures import CLASSIFICATION
from segline.evaluation.records import CaseEvaluation
from segline.evaluation.yardstick import Scored
from segline.imaging.volume import Volume
from segline.inference.classes import CLASSES as ANSWERS
from segline.inference.classes import ClassAnswer
from segline.inference.stitching import WindowScorer
from segline.plan import Plan

_LEAST = 1e-7
"""Probability of a logarithm: float32 has none between it and 0."""


@dataclass(frozen=True)
class Classes:
    """The yardstick of classification; see :class:`~segline.evaluation.yardstick.Yardstick`."""

    figures = CLASSIFICATION
    part = "decision"
    how = "by the classes that the data set tells"
    answers = ANSWERS

    def conditions(self, plan: Plan) -> dict[str, float]:  # noqa: ARG002
        """None."""
        return {}

    def names(self, plan: Plan) -> Sequence[str]:
        """The classes; a case is measured under its own."""
        return list(self.answers.labels(plan).values())

    def predictor(self, plan: Plan, network: WindowScorer) -> Callable[[Volume], ClassAnswer]:
        """From a volume to how probable each class is."""
        return self.answers.predictor(plan, network)

    def score(
        self, plan: Plan, manifest: Manifest, case: str, predicted: ClassAnswer, folder: Path
    ) -> Scored:
        """Figures under the true class; counted are that class and the probabilities."""
        name = case + self.answers.suffixes[0]
        self.answers.write(folder / name, predicted)
        truth = index_of_class(manifest.case(case), plan)
        names, shares = zip(*predicted.probabilities.items(), strict=True)
        figures = {
            "accuracy": float(predicted.name == names[truth]),
            "true_class": shares[truth],
            "log_loss": -math.log(max(shares[truth], _LEAST)),
        }
        evaluation = CaseEvaluation(case=case, figures={names[truth]: figures}, answer=name)
        return Scored(evaluation, (names, truth, shares))

    def total(self, counted: Sequence[tuple[Sequence[str], int, Sequence[float]]]) -> Mapping[str, Any]:
        """What follows from all classes and probabilities together."""
        names, truth, shares = zip(*counted, strict=True)
        return {"classes": ClassScores.of(names[0], truth, shares)}

    def agreement(self, a: Path, b: Path) -> float:
        """1 where the answers of two files are one class, else 0.

        Raises:
            SeglineError: a file cannot be read.
        """
        return float(decision(a) == decision(b))


def decision(path: Path) -> str:
    """The class that an answer's file tells.

    Raises:
        SeglineError: it cannot be read.
    """
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["class"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SeglineError(f"{path}: not a readable answer; evaluate again") from error


CLASSES = Classes()
