"""A run in the trackers that its environment asks for: while it trains, after a kill, and when it ends."""

import logging
import os
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segline import stages
from segline.data.cases.index import CaseIndex
from segline.plan import Plan, Task, merged
from segline.runs.run import Run
from segline.tracking.mlflow_connection import Registry
from segline.tracking.mlflow_settings import local_uri, quiet_mlflow

from ..place import Place
from ..s3_server import ACCESS_KEY, SECRET_KEY, S3Server, see_the_disk
from ..waiting import wait_until

VARIABLES = ("TENSORBOARD", "WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_DIR")


@pytest.fixture(autouse=True)
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    quiet_mlflow(os.environ)


def planned(plan: Plan, **training: object) -> Plan:
    changes = {"training": {"epochs": 20, "validations": 4, **training}}
    return Plan.parse(merged(plan.model_dump(mode="json"), changes), "plan")


def place_of(folder: Path, plan: Plan, index: CaseIndex) -> Place:
    folder.mkdir(exist_ok=True)
    return Place(folder, plan, index)


def losses(folder: Path) -> list[tuple[int, float]]:
    board = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in board.Scalars("train/loss")]


def wanted(run: Path) -> list[tuple[int, object]]:
    history = Run(run).history
    assert history
    return [(point.step, pytest.approx(point.loss)) for point in history.points]


def test_the_curves_of_a_training_are_beside_the_runs(
    tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD", "1")
    place = place_of(tmp_path, planned(tiny_plan), tiny_index)
    place.train()
    assert losses(tmp_path / "tensorboard" / "run") == wanted(place.run)


def test_nothing_is_written_where_nothing_is_asked_for(
    tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    place = place_of(tmp_path, planned(tiny_plan, epochs=4), tiny_index)
    place.train()
    stages.report(place.run)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"run", "store", "model", "plan.json", "cases.json", "page.html", "final.json"}


def test_a_training_that_is_killed_and_goes_on_has_no_point_twice(
    tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD", str(tmp_path / "board"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "board" / "run"
    place = place_of(tmp_path, planned(tiny_plan, epochs=400, validations=2), tiny_index)
    training = place.start()
    # past the checkpoint of the validation half way, so that points are lost
    wait_until(lambda: any((place.store / "checkpoints").glob("[0-9a-f]*.pt")), 120)
    written = losses(folder)[-1][0]
    wait_until(lambda: losses(folder)[-1][0] > written or not training.runs, 60)
    assert training.kill().returncode < 0
    before = losses(folder)
    assert before
    place.train()
    history = Run(place.run).history
    assert history and history.resumed_from_step
    assert before[-1][0] > history.resumed_from_step
    assert losses(folder) == wanted(place.run)
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1


def test_seeds_have_curves_of_their_own(
    tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD", "1")
    content = planned(tiny_plan, epochs=10).model_dump(mode="json")
    plan = Plan.parse(merged(content, {"ensemble": {"seeds": 2}}), "plan")
    place = place_of(tmp_path, plan, tiny_index)
    place.train()
    board = EventAccumulator(str(tmp_path / "tensorboard" / "run")).Reload()
    history = Run(place.run).history
    assert history
    for number, points in enumerate(history.networks):
        curve = board.Scalars(f"train/loss/network_{number}")
        assert [event.step for event in curve] == [point.step for point in points]


def test_a_fold_goes_by_its_number_beside_its_run(
    tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD", "1")
    place = place_of(tmp_path, planned(tiny_plan, epochs=4), tiny_index)
    fold = place.run / "folds" / "1"
    stages.start_run(fold, Task(name="tiny", source="none"))
    stages.train(fold, *place.places[1:], "cpu")
    assert losses(tmp_path / "tensorboard" / "run_fold_1") == wanted(fold)
    stages.report(place.run)
    assert losses(tmp_path / "tensorboard" / "run_fold_1") == wanted(fold)
    assert [path.name for path in (tmp_path / "tensorboard").iterdir()] == ["run_fold_1"]


def test_mlflow_shows_the_run_live_and_the_report_ends_it_where_nothing_was_registered(
    tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    place = place_of(tmp_path, planned(tiny_plan, epochs=10), tiny_index)
    uri = local_uri(place.store)
    stages.train(*place.places, "cpu", tracking=uri)
    client = Registry(uri).client
    experiment = client.get_experiment_by_name("segline-tiny")
    (shown,) = client.search_runs([experiment.experiment_id])
    assert (shown.info.run_name, shown.info.status) == ("run", "RUNNING")
    stages.report(place.run, store=place.store, tracking=uri)
    (ended,) = client.search_runs([experiment.experiment_id])
    assert (ended.info.run_id, ended.info.status) == (shown.info.run_id, "FINISHED")
    curve = client.get_metric_history(ended.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in curve] == wanted(place.run)


def test_a_training_that_fails_is_failed_in_mlflow_until_it_goes_on(
    tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    place = place_of(tmp_path, planned(tiny_plan, epochs=10), tiny_index)
    uri, model = local_uri(place.store), tmp_path / "model"
    model.write_text("where a folder is to be")
    with pytest.raises(NotADirectoryError):
        stages.train(*place.places, "cpu", tracking=uri)
    client = Registry(uri).client
    experiment = client.get_experiment_by_name("segline-tiny")
    (failed,) = client.search_runs([experiment.experiment_id])
    assert failed.info.status == "FAILED"
    model.unlink()
    stages.train(*place.places, "cpu", tracking=uri)
    (shown,) = client.search_runs([experiment.experiment_id])
    assert (shown.info.run_id, shown.info.status) == (failed.info.run_id, "RUNNING")


def test_what_cannot_be_used_is_one_warning_and_the_training_goes_on(
    tiny_plan: Plan,
    tiny_index: CaseIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TENSORBOARD", str(tmp_path / "file"))
    monkeypatch.setenv("WANDB_PROJECT", "ward")
    place = place_of(tmp_path / "place", planned(tiny_plan, epochs=40), tiny_index)
    with caplog.at_level(logging.WARNING):
        place.train()
    told = [record.getMessage() for record in caplog.records]
    assert [line for line in told if "Weights & Biases" in line] == [
        "no curves in Weights & Biases, the training goes on: "
        "WANDB_API_KEY is not set; set it, or WANDB_MODE=offline"
    ]
    (line,) = [line for line in told if "TensorBoard" in line]
    assert line.startswith("no more live curves of run run in TensorBoard, the training goes on: ")
    assert Run(place.run).stages[0].status == "succeeded"


def test_a_run_in_a_bucket_has_its_curves_in_its_own_folder(
    tiny_plan: Plan,
    tiny_index: CaseIndex,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TENSORBOARD", "1")
    monkeypatch.setenv("S3_ENDPOINT", f"http://{s3_server.settings.endpoint}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    place = place_of(tmp_path, planned(tiny_plan, epochs=10), tiny_index)
    with s3_server.lent("tracked") as bucket:
        run = "s3://tracked/runs/tiny-1"
        stages.start_run(run, Task(name="tiny", source="none"))
        for _ in range(2):  # as a pod that was tried again
            stages.train(run, *place.places[1:], "cpu")
            see_the_disk()
            assert losses(bucket / "runs/tiny-1/tensorboard/tiny-1") == wanted(bucket / "runs/tiny-1")
        stages.report(run)
        see_the_disk()
        assert losses(bucket / "runs/tiny-1/tensorboard/tiny-1") == wanted(bucket / "runs/tiny-1")
