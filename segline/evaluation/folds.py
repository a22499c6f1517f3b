"""Cross-validation: the folds' test cases together, each tested once by a model that never saw it."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from segline.common.documents import Document
from segline.common.documents.names import EVALUATION
from segline.evaluation.class_scores import ClassScores
from segline.evaluation.confusion import Confusion
from segline.evaluation.estimates import Estimate
from segline.evaluation.records import Evaluation, figures_over
from segline.evaluation.roc import ScoreCounts
from segline.plan import Plan
from segline.planning.folds import Tested, in_order_of_folds


class Fold(BaseModel):
    """What one fold's model is worth, on its own test cases."""

    model_config = ConfigDict(frozen=True)

    cases: int
    plan_digest: str
    overall: dict[str, Estimate]


class CrossValidation(Document):
    """The folds side by side; their cases together are an :class:`~segline.evaluation.scoring.Evaluation`."""

    kind = "a cross-validation"
    stage = "pool"

    folds: tuple[Fold, ...]
    cases: int
    overall: dict[str, Estimate]
    """Over the cases of all folds."""

    @property
    def scalars(self) -> Mapping[str, float]:
        """Each figure's mean over all cases, and the mean of the first of each fold."""
        means = {f"mean_{name}": of.mean for name, of in self.overall.items()}
        deciding = next(iter(self.overall))
        means |= {
            f"fold_{number}_mean_{deciding}": fold.overall[deciding].mean
            for number, fold in enumerate(self.folds)
        }
        return {name: mean for name, mean in means.items() if mean is not None}


def pool(
    folders: Sequence[Path], whole: Plan, folds: Sequence[Plan], folder: Path
) -> tuple[Evaluation, CrossValidation]:
    """Bring the folds' evaluations together: figures over all cases, and the answers in ``folder``.

    Args:
        folders: each with ``evaluation.json`` and answers, in any order.
        whole: the plan of the data set.
        folds: the plan of each fold, by whose test cases its evaluation is known.
        folder: where the answers go, and the pooled evaluation is written.

    Raises:
        SeglineError: a fold has no evaluation, or there is one of no fold or of another data set.
    """
    evaluated = {_tested(evaluation): (place, evaluation) for place, evaluation in map(_read, folders)}
    ordered = in_order_of_folds(evaluated, folds, "pool")
    folder.mkdir(parents=True, exist_ok=True)
    for place, evaluation in ordered:
        for case in evaluation.cases:
            shutil.copyfile(place / case.answer, folder / case.answer)
    evaluations = [evaluation for _, evaluation in ordered]
    pooled = _pooled(evaluations, whole)
    pooled.write(folder / EVALUATION)
    every = tuple(
        Fold(cases=len(one.cases), plan_digest=one.plan_digest, overall=one.overall) for one in evaluations
    )
    return pooled, CrossValidation(folds=every, cases=len(pooled.cases), overall=pooled.overall)


def _tested(evaluation: Evaluation) -> Tested:
    return evaluation.dataset_digest, frozenset(case.case for case in evaluation.cases)


def _read(folder: Path) -> tuple[Path, Evaluation]:
    return folder, Evaluation.read(folder / EVALUATION)


def _pooled(evaluations: Sequence[Evaluation], whole: Plan) -> Evaluation:
    cases = sorted((case for one in evaluations for case in one.cases), key=lambda case: case.case)
    confusions = [one.confusion for one in evaluations if one.confusion]
    scores = [one.scores for one in evaluations if one.scores]
    classes = [one.classes for one in evaluations if one.classes]
    return evaluations[0].model_copy(
        update={
            "plan_digest": whole.digest,
            **figures_over(cases, list(evaluations[0].by_label), evaluations[0].figures),
            "confusion": Confusion.total(confusions) if confusions else None,
            "scores": ScoreCounts.total(scores) if scores else None,
            "classes": ClassScores.total(classes) if classes else None,
        }
    )
