"""The cross-validation through the local runner: every case is tested once, and reported."""

import json
import warnings
from typing import Any

import pytest
from kfp import local

from pipelines.cross_validation import folds_pipeline
from segline import stages
from segline.backends import REFERENCE
from segline.plan import Plan
from segline.runs import Run
from segline.task import Task

from ..tiny_task import TINY

FOLDS = 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished cross-validation."""
    folder = tmp_path_factory.mktemp("folds")
    task = Task.parse(TINY, "tiny").override("split.folds", FOLDS).override("training.epochs", 3)
    stages.start_run(folder / "run", task)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "artifacts"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You may be attemping to run a task")
        folds_pipeline(
            task=json.dumps(task.model_dump()),
            source=task.source,
            run=str(folder / "run"),
            store=str(folder / "store"),
            device="cpu",
        )
    return Run(folder / "run")


def summary(run: Run) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run.folder / "summary.json").read_text())
    return loaded


def test_every_case_is_tested_once_by_a_model_that_never_saw_it(run: Run) -> None:
    assert run.manifest is not None
    (pooled,) = run.evaluations
    assert [case.case for case in pooled.cases] == sorted(case.name for case in run.manifest.cases)
    plans = [Plan.read(run.folder / f"folds/{fold}/plan.json") for fold in range(FOLDS)]
    tested = [name for plan in plans for name in plan.split.test]
    assert sorted(tested) == [case.case for case in pooled.cases]


def test_each_fold_has_a_model_of_its_own(run: Run) -> None:
    weights = [(run.folder / f"folds/{fold}/model/weights.pt").read_bytes() for fold in range(FOLDS)]
    assert len(set(weights)) == FOLDS


def test_the_cases_are_preprocessed_once_for_all_folds(run: Run) -> None:
    records = [record for record in run.stages if record.name.startswith("preprocess")]
    assert [record.reason for record in records] == ["6 cases computed, 0 reused from the cache"]


def test_the_summary_has_every_stage_of_every_fold(run: Run) -> None:
    assert summary(run)["status"] == "succeeded"
    names = {stage["name"] for stage in summary(run)["stages"]}
    of_a_fold = {"take_fold", "train", "export_onnx", f"evaluate_{REFERENCE}"}
    assert names == {"download", "plan", "preprocess", "split_folds", "pool"} | {
        f"{name}, fold {fold}" for name in of_a_fold for fold in range(FOLDS)
    }


def test_the_report_shows_folds_cases_and_pictures(run: Run) -> None:
    html = (run.folder / "report.html").read_text()
    for part in ("cross-validation", "evaluation", "voxels", "test-cases", "pictures"):
        assert f'id="{part}"' in html, part
    assert "No picture" not in html


def test_the_figures_are_those_of_the_folds(run: Run) -> None:
    found, (pooled,) = run.cross_validation, run.evaluations
    assert found is not None
    sums = [fold.cases * (fold.overall["dice"].mean or 0) for fold in found.folds]
    assert pooled.overall["dice"].mean == pytest.approx(sum(sums) / len(pooled.cases))
