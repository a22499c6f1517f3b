"""The cross-validation through the local runner: every case is tested once, and reported."""

import json
from pathlib import Path
from typing import Any

import pytest

from segline.backends import REFERENCE
from segline.plan import Plan
from segline.runs import Run

from ..tiny_task import run_task

FOLDS = 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_task: Path) -> Run:
    """A finished cross-validation."""
    folder = tmp_path_factory.mktemp("folds")
    done = run_task(folder, tiny_task, "--folds", str(FOLDS), "--set", "training.epochs=3")
    assert done.returncode == 0, done.stdout + done.stderr
    return Run(folder / "runs/latest")


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
