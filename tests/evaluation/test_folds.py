"""The folds' evaluations, pooled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segline.common.documents.names import EVALUATION
from segline.common.errors import SeglineError
from segline.evaluation.confusion import Confusion
from segline.evaluation.folds import pool
from segline.evaluation.masks.label_metrics import LabelMetrics
from segline.evaluation.records import CaseEvaluation, Evaluation
from segline.evaluation.roc import LEVELS, ScoreCounts
from segline.evaluation.scoring import summarise
from segline.plan import Plan, Task
from segline.planning.folds import fold_tasks, resplit
from segline.planning.splits import SplitRule, split_cases

from ..conftest import small_plan

NAMES = [f"case_{number}" for number in range(7)]
DICE = dict(zip(NAMES, (0.9, 0.5, 0.8, 0.7, 0.6, 0.95, 0.4), strict=True))


class Reference:
    """A backend, by its name."""

    name, version, precision = "pytorch", "1", "float32"


def task(**split: Any) -> Task:
    return Task(name="small", source="none", plan={"split": {"folds": 3, **split}})


def whole() -> Plan:
    return small_plan(split=split_cases(NAMES, SplitRule()))


def plans(**split: Any) -> list[Plan]:
    return [resplit(whole(), each) for each in fold_tasks(task(**split))]


def evaluated(plan: Plan, folder: Path) -> Path:
    """An evaluation of a fold's test cases, each with its own Dice and mask."""
    folder.mkdir()
    cases = []
    for name in plan.split.test:
        figures = dict.fromkeys(LabelMetrics.model_fields, 0.5) | {"dice": DICE[name]}
        cases.append(CaseEvaluation(case=name, figures={"label1": figures}, answer=f"{name}.nii.gz"))
        (folder / f"{name}.nii.gz").write_text(name)
    counts = tuple(range(LEVELS))
    counted = {
        "confusion": Confusion(labels=("label0", "label1"), voxels=((8, 1), (2, 3))),
        "scores": ScoreCounts(foreground=counts, background=counts[::-1]),
    }
    summarise(Reference(), plan, cases).model_copy(update=counted).write(folder / EVALUATION)
    return folder


@pytest.fixture()
def folders(tmp_path: Path) -> list[Path]:
    """The evaluations of three folds, the last one first."""
    numbered = list(enumerate(plans()))[::-1]
    return [evaluated(plan, tmp_path / f"fold_{number}") for number, plan in numbered]


def test_every_case_is_tested_once_over_the_folds(folders: Sequence[Path], tmp_path: Path) -> None:
    pooled, _ = pool(folders, whole(), plans(), tmp_path / "pooled")
    assert [case.case for case in pooled.cases] == NAMES
    assert {case.case: case.score for case in pooled.cases} == DICE


def test_figures_are_over_all_cases_and_not_over_folds(folders: Sequence[Path], tmp_path: Path) -> None:
    pooled, _ = pool(folders, whole(), plans(), tmp_path / "pooled")
    dice = pooled.overall["dice"]
    assert dice.mean == pytest.approx(np.mean(list(DICE.values())))
    assert dice.ci95 is not None and dice.ci95[0] < dice.mean < dice.ci95[1]
    assert pooled.worst == ("case_6", "case_1", "case_4", "case_3", "case_2")


def test_folds_are_in_their_order_whatever_order_they_come_in(
    folders: Sequence[Path], tmp_path: Path
) -> None:
    _, found = pool(folders, whole(), plans(), tmp_path / "pooled")
    assert [fold.plan_digest for fold in found.folds] == [plan.digest for plan in plans()]
    means = [np.mean([DICE[name] for name in plan.split.test]) for plan in plans()]
    of_folds = {name: value for name, value in found.scalars.items() if name.startswith("fold")}
    assert list(of_folds.values()) == pytest.approx(means)
    assert list(of_folds) == ["fold_0_mean_dice", "fold_1_mean_dice", "fold_2_mean_dice"]


def test_voxels_add_up(folders: Sequence[Path], tmp_path: Path) -> None:
    pooled, _ = pool(folders, whole(), plans(), tmp_path / "pooled")
    assert pooled.confusion is not None and pooled.confusion.voxels == ((24, 3), (6, 9))
    assert pooled.scores is not None and pooled.scores.foreground[-1] == 3 * (LEVELS - 1)


def test_masks_and_evaluation_lie_together(folders: Sequence[Path], tmp_path: Path) -> None:
    pooled, _ = pool(folders, whole(), plans(), tmp_path / "pooled")
    assert {path.name for path in (tmp_path / "pooled").glob("*.nii.gz")} == {f"{n}.nii.gz" for n in NAMES}
    assert Evaluation.read(tmp_path / "pooled" / EVALUATION) == pooled
    assert pooled.plan_digest == whole().digest


def test_a_fold_that_is_missing_is_named(folders: Sequence[Path], tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match="2 folds, and fold 2 of 3 is missing"):
        pool(folders[1:], whole(), plans(), tmp_path / "pooled")


def test_an_evaluation_of_another_split_is_refused(folders: list[Path], tmp_path: Path) -> None:
    other = evaluated(plans(seed=1)[0], tmp_path / "other")
    with pytest.raises(SeglineError, match="one is of no fold"):
        pool([*folders, other], whole(), plans(), tmp_path / "pooled")
