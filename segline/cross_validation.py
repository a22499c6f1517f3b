"""Cross-validation: the folds' test cases together, each tested once by a model that never saw it."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from segline.confusion import Confusion
from segline.documents import Document
from segline.errors import SeglineError
from segline.evaluation import EVALUATION, Evaluation, figures_over
from segline.plan import Plan
from segline.roc import ScoreCounts
from segline.statistics import Estimate

FOLDS = "folds"
"""Folder of the folds' runs, in the run of the whole."""
CROSS_VALIDATION = "folds.json"


class Fold(BaseModel):
    """What one fold's model is worth, on its own test cases."""

    model_config = ConfigDict(frozen=True)

    cases: int
    plan_digest: str
    overall: dict[str, Estimate]


class CrossValidation(Document):
    """The folds side by side; their cases together are an :class:`~segline.evaluation.Evaluation`."""

    kind = "a cross-validation"
    stage = "pool"

    folds: tuple[Fold, ...]

    @property
    def scalars(self) -> Mapping[str, float]:
        """The mean Dice of each fold."""
        means = {
            f"fold_{number}_mean_dice": fold.overall["dice"].mean for number, fold in enumerate(self.folds)
        }
        return {name: mean for name, mean in means.items() if mean is not None}


def pool(
    folders: Sequence[Path], whole: Plan, folds: Sequence[Plan], folder: Path
) -> tuple[Evaluation, CrossValidation]:
    """Bring the folds' evaluations together: figures over all cases, and the masks in ``folder``.

    Args:
        folders: each with ``evaluation.json`` and masks, in any order.
        whole: the plan of the data set.
        folds: the plan of each fold, by which its evaluation is known.
        folder: where the masks go, and the pooled evaluation is written.

    Raises:
        SeglineError: a fold has no evaluation, or there is one of no fold or of another data set.
    """
    found = {evaluation.plan_digest: (place, evaluation) for place, evaluation in map(_read, folders)}
    _require_the_folds(found.keys(), folds)
    in_order = [found[plan.digest] for plan in folds]
    folder.mkdir(parents=True, exist_ok=True)
    for place, evaluation in in_order:
        for case in evaluation.cases:
            shutil.copyfile(place / case.mask, folder / case.mask)
    evaluations = [evaluation for _, evaluation in in_order]
    pooled = _pooled(evaluations, whole)
    pooled.write(folder / EVALUATION)
    every = tuple(
        Fold(cases=len(one.cases), plan_digest=one.plan_digest, overall=one.overall) for one in evaluations
    )
    return pooled, CrossValidation(folds=every)


def _read(folder: Path) -> tuple[Path, Evaluation]:
    return folder, Evaluation.read(folder / EVALUATION)


def _pooled(evaluations: Sequence[Evaluation], whole: Plan) -> Evaluation:
    cases = sorted((case for one in evaluations for case in one.cases), key=lambda case: case.case)
    confusions = [one.confusion for one in evaluations if one.confusion]
    scores = [one.scores for one in evaluations if one.scores]
    return evaluations[0].model_copy(
        update={
            "plan_digest": whole.digest,
            **figures_over(cases, list(whole.foreground.values())),
            "confusion": Confusion.total(confusions) if confusions else None,
            "scores": ScoreCounts.total(scores) if scores else None,
        }
    )


def _require_the_folds(found: Collection[str], folds: Sequence[Plan]) -> None:
    wanted = {plan.digest: number for number, plan in enumerate(folds)}
    strays = set(found) - wanted.keys()
    missing = [number for digest, number in wanted.items() if digest not in found]
    if strays or missing:
        told = f"fold {missing[0]} of {len(folds)} has no evaluation" if missing else "one is of no fold"
        raise SeglineError(f"pool: {len(found)} evaluations, and {told}; run the cross-validation again")
