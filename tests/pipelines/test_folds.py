"""The cross-validation and the ensemble of its models through the local runner; MLflow is read back."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from segline import stages
from segline.backends import REFERENCE
from segline.common.documents.names import EVALUATION, POOLED
from segline.evaluation.records import Evaluation
from segline.model.package import Model
from segline.networks.weights import load_network
from segline.plan import Plan
from segline.planning.folds import resplit
from segline.runs.run import Run
from segline.tracking.facts import facts_of
from segline.tracking.mlflow import MlflowTracker
from segline.tracking.mlflow_connection import Registry
from segline.tracking.mlflow_settings import local_uri

from ..tiny_task import run_task

FOLDS = 2
QUICK = ("--folds", str(FOLDS), "--set", "training.epochs=3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_task: Path) -> Path:
    """With the runs and the store of a finished cross-validation with an ensemble."""
    folder = tmp_path_factory.mktemp("folds")
    done = run_task(folder, tiny_task, *QUICK, "--ensemble")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return Run(folder / "runs/latest")


@pytest.fixture(scope="module")
def listed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same folds, as of a task that lists their cases and asks for no ensemble."""
    assert run.plan is not None
    copy = Run(shutil.copytree(run.folder, tmp_path_factory.mktemp("listed") / "run"))
    for part in ("model", "predictions", "gate.json", "benchmark.json", "ensemble.json", "stages"):
        path = copy.folder / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    cases = [list(plan.split.test) for plan in fold_plans(run)]
    task = run.info.task.override("ensemble.members", 1).override("split.fold_cases", cases)
    run.info.model_copy(update={"task": task}).write(copy.folder / "run.json")
    whole = resplit(run.plan.of_one_member(), task.override("split.folds", 0))
    whole.write(copy.folder / "plan.json")
    scored = [str(path) for path in sorted(copy.folder.glob(f"folds/[0-9]/predictions/{REFERENCE}"))]
    stages.pool(copy.folder, copy.folder / "plan.json", scored[::-1], copy.folder / "pooled")
    stages.report(copy.folder)
    return copy


def fold_plans(run: Run) -> list[Plan]:
    plans = [fold.plan for fold in run.folds]
    assert len(plans) == FOLDS
    return [plan for plan in plans if plan]


def summary(run: Run) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run.folder / "summary.json").read_text())
    return loaded


def test_every_case_but_those_held_out_is_tested_once_by_a_model_that_never_saw_it(run: Run) -> None:
    assert run.manifest is not None and run.plan is not None
    pooled = Evaluation.read(run.folder / POOLED / EVALUATION)
    held_out = set(run.plan.split.test)
    names = sorted({case.name for case in run.manifest.cases} - held_out)
    assert [case.case for case in pooled.cases] == names and held_out
    for plan in fold_plans(run):
        assert not held_out & {*plan.split.train, *plan.split.val, *plan.split.test}
    assert sorted(name for plan in fold_plans(run) for name in plan.split.test) == names


def test_the_ensemble_holds_the_weights_of_each_fold(run: Run) -> None:
    assert run.model is not None
    weights = load_network(run.model.weights, run.model.plan).state_dict()
    for number, fold in enumerate(run.folds):
        member = Model.open(fold.folder / "model")
        for name, value in load_network(member.weights, member.plan).state_dict().items():
            assert weights[f"members.{number}.{name}"].equal(value)


def test_the_cases_are_preprocessed_once_for_all_folds(run: Run) -> None:
    records = [record for record in run.stages if record.name.startswith("preprocess")]
    assert [record.reason for record in records] == ["6 cases computed, 0 reused from the cache"]


def test_the_summary_has_every_stage_of_every_fold(run: Run) -> None:
    assert summary(run)["status"] == "succeeded"
    names = {stage["name"] for stage in summary(run)["stages"]}
    of_a_fold = {"take_fold", "train", "export_onnx", f"evaluate_{REFERENCE}"}
    of_folds = {f"{name}, fold {fold}" for name in of_a_fold for fold in range(FOLDS)}
    once = {"split_folds", "pool", "assemble", "compare", "benchmark", "register", "compare_members"}
    assert of_folds | once | {"track_folds"} <= names


def test_the_ensemble_is_held_against_each_member_on_the_cases_held_out(run: Run) -> None:
    found, timed, plan = run.comparison, run.benchmark, run.plan
    assert found is not None and timed is not None and plan is not None
    (ours,) = [evaluation for evaluation in run.evaluations if evaluation.backend == REFERENCE]
    assert [case.case for case in ours.cases] == list(plan.split.test)
    assert found.cases == len(plan.split.test) and found.ensemble.overall == ours.overall
    for member, gain in zip(found.members, found.gains, strict=True):
        assert member.overall["dice"].mean is not None and ours.overall["dice"].mean is not None
        assert gain.mean == pytest.approx(ours.overall["dice"].mean - member.overall["dice"].mean)
        assert found.ensemble.weights_bytes > 1.8 * member.weights_bytes
    assert found.slowdowns(timed).keys() == {times.backend for times in timed.backends}


def test_the_report_shows_folds_ensemble_cost_and_pictures(run: Run) -> None:
    html = (run.folder / "report.html").read_text()
    parts = ("split", "cross-validation", "ensemble", "evaluation", "test-cases", "pictures", "benchmark")
    for part in parts:
        assert f'id="{part}"' in html, part
    assert "What it costs" in html and "No picture" not in html and 'id="missing"' not in html


def test_folds_can_be_listed_and_need_no_ensemble(listed: Run) -> None:
    (pooled,) = listed.evaluations
    assert listed.manifest is not None
    cases = sorted(name for fold in listed.info.task.plan["split"]["fold_cases"] for name in fold)
    assert [case.case for case in pooled.cases] == cases
    assert len(cases) == len(listed.manifest.cases) - 1
    assert summary(listed)["status"] == "succeeded"


def test_the_figures_are_those_of_the_folds(listed: Run) -> None:
    found, (pooled,) = listed.cross_validation, listed.evaluations
    assert found is not None
    sums = [fold.cases * (fold.overall["dice"].mean or 0) for fold in found.folds]
    assert pooled.overall["dice"].mean == pytest.approx(sum(sums) / len(pooled.cases))


def tree(registry: Registry, task: str) -> dict[str, list[str]]:
    """Names of the runs in MLflow, each with those of the runs nested in it."""
    found = registry.client.search_runs([registry.experiment(f"segline-{task}")])
    names = {run.info.run_id: run.info.run_name for run in found}
    parents = {run.info.run_id: run.data.tags.get("mlflow.parentRunId") for run in found}
    return {
        names[top]: sorted(names[run] for run, parent in parents.items() if parent == top)
        for top in names
        if not parents[top]
    }


def everything_told(registry: Registry, task: str, folder: Path) -> str:
    """Params, tags and documents of every run in MLflow."""
    told = []
    for run in registry.client.search_runs([registry.experiment(f"segline-{task}")]):
        told.append(f"{run.data.params} {run.data.metrics} {run.data.tags}")
        registry.client.download_artifacts(run.info.run_id, "", str(folder))
        told += [path.read_text() for path in folder.rglob("*.json")]
    return "".join(told)


def test_mlflow_has_the_run_and_each_fold_nested_in_it(folder: Path, run: Run, tmp_path: Path) -> None:
    registry = Registry(local_uri(folder / "store"))
    assert tree(registry, "tiny") == {run.info.id: ["fold 0", "fold 1"]}
    told = everything_told(registry, "tiny", tmp_path)
    assert "val/dice" in told and run.folds[0].plan is not None and run.folds[0].plan.digest in told
    assert "phantom_0" not in told


def test_mlflow_has_the_pooled_figures_with_intervals(listed: Run, tmp_path: Path) -> None:
    stages.track_folds(listed.folder, tmp_path / "store")
    registry, found = Registry(local_uri(tmp_path / "store")), listed.cross_validation
    (top,) = registry.client.search_runs(
        [registry.experiment("segline-tiny")], f"attributes.run_name = '{listed.info.id}'"
    )
    assert found is not None
    dice = found.overall["dice"]
    assert dice.ci95 is not None
    figures = top.data.metrics
    low, high = figures["folds/dice_ci95_low"], figures["folds/dice_ci95_high"]
    assert (figures["folds/dice"], low, high) == pytest.approx((dice.mean, *dice.ci95))
    assert figures["folds/1/dice"] == pytest.approx(found.folds[1].overall["dice"].mean)
    documents = {item.path for item in registry.client.list_artifacts(top.info.run_id)}
    assert {"folds.json", "summary.json", "evaluations"} <= documents
    assert not registry.client.search_registered_models()
    assert "phantom_0" not in everything_told(registry, "tiny", tmp_path / "documents")


def test_tracking_that_was_killed_is_finished_and_not_doubled(listed: Run, tmp_path: Path) -> None:
    registry = Registry(local_uri(tmp_path))
    MlflowTracker(registry).record(facts_of(listed))
    for _ in range(2):
        stages.track_folds(listed.folder, tmp_path)
        assert tree(registry, "tiny") == {listed.info.id: ["fold 0", "fold 1"]}


@pytest.mark.slow
def test_folds_alone_run_through_a_dag_of_their_own(tmp_path: Path, tiny_task: Path) -> None:
    done = run_task(tmp_path, tiny_task, *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    run = Run(tmp_path / "runs/latest")
    (pooled,) = run.evaluations
    assert run.manifest is not None
    assert [case.case for case in pooled.cases] == sorted(case.name for case in run.manifest.cases)


def test_an_ensemble_without_folds_is_refused(tmp_path: Path, tiny_task: Path) -> None:
    done = run_task(tmp_path, tiny_task, "--ensemble")
    assert done.returncode == 2
    assert done.stderr == "segline: ensemble: its networks come from folds; give FOLDS=5 with ENSEMBLE=1\n"


@pytest.mark.parametrize("fold", [5, -1])
def test_a_fold_that_does_not_exist_is_refused_before_anything_starts(
    fold: int, tmp_path: Path, tiny_task: Path
) -> None:
    done = run_task(tmp_path, tiny_task, "--set", "split.folds=5", "--set", f"split.fold={fold}")
    assert done.returncode == 2
    assert done.stderr == (
        f"segline: split.fold: fold {fold} of 5 does not exist; folds count from 0, the last is 4\n"
    )
    assert not (tmp_path / "runs").exists()
