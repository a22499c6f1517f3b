"""Live curves: in MLflow while the training goes on, and never in its way."""

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest

from segline.model.history import TrainingPoint
from segline.runs.run import Run
from segline.tracking import Tracked, Tracker
from segline.tracking.curves import Point
from segline.tracking.facts import Facts, facts_at_start, facts_of
from segline.tracking.live import LONGEST_END_S, finish, live
from segline.tracking.mlflow import ONGOING_TAG, MlflowTracker
from segline.tracking.mlflow_connection import Registry

from ..mlflow_runs import Runs, track
from ..s3_server import free_port
from ..waiting import wait_until


def begun(registry: Registry, facts: Facts) -> list[Any]:
    """The runs of MLflow that were begun with these facts and not recorded yet."""
    experiment = registry.experiment(f"segline-{facts.task}")
    return list(registry.client.search_runs([experiment], f"tags.`{ONGOING_TAG}` = '{facts.asked}'"))


def ongoing(registry: Registry, facts: Facts) -> Any:
    (found,) = begun(registry, facts)
    return found


def curve(registry: Registry, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in registry.client.get_metric_history(run_id, name)]


def in_mlflow(registry: Registry) -> dict[str, Tracker]:
    return {"MLflow": MlflowTracker(registry)}


def points_of(runs: Runs, name: str) -> tuple[Facts, tuple[TrainingPoint, ...]]:
    run = runs.make(name, name)
    assert run.history
    return facts_at_start(run.info), run.history.points


def test_a_point_is_in_mlflow_while_the_training_goes_on(runs: Runs, either: Registry) -> None:
    facts, points = points_of(runs, "goes-on")
    with live(in_mlflow(either), facts) as listen:
        listen(points[0])
        wait_until(lambda: any("train/loss" in run.data.metrics for run in begun(either, facts)))
        assert ongoing(either, facts).info.status == "RUNNING"


def test_all_points_are_there_in_the_end_under_the_names_of_facts(runs: Runs, either: Registry) -> None:
    facts, points = points_of(runs, "in-the-end")
    with live(in_mlflow(either), facts) as listen:
        for point in points:
            listen(point)
    run_id = ongoing(either, facts).info.run_id
    assert curve(either, run_id, "train/loss") == [(point.step, point.loss) for point in points]
    validated = [(point.step, point.score) for point in points if point.scores]
    assert validated and curve(either, run_id, "val/dice") == validated


def test_the_finished_run_is_recorded_in_the_one_that_was_live_and_no_point_doubled(
    runs: Runs, either: Registry
) -> None:
    run = runs.make("recorded", "recorded")
    facts = facts_at_start(run.info)
    assert run.history
    with live(in_mlflow(either), facts) as listen:
        for point in run.history.points:
            listen(point)
    live_run = ongoing(either, facts).info.run_id
    assert track(run, either).run_id == live_run
    assert track(run, either).run_id == live_run
    stored = either.client.get_run(live_run)
    assert (stored.info.status, ONGOING_TAG in stored.data.tags) == ("FINISHED", False)
    assert curve(either, live_run, "train/loss") == [(point.step, point.loss) for point in run.history.points]


def test_an_interrupted_training_goes_on_in_the_same_run(runs: Runs, registry: Registry) -> None:
    facts, points = points_of(runs, "interrupted")
    for point in points[:2]:
        with live(in_mlflow(registry), facts) as listen:
            listen(point)
    run_id = ongoing(registry, facts).info.run_id
    assert len(curve(registry, run_id, "train/loss")) == 2


def test_networks_trained_at_once_have_live_curves_of_their_own(runs: Runs, registry: Registry) -> None:
    facts, points = points_of(runs, "several")
    with live(in_mlflow(registry), facts, several=True) as listen:
        listen(points[0])
        listen(points[0].model_copy(update={"network": 1}))
    metrics = ongoing(registry, facts).data.metrics
    assert {"train/loss/network_0", "train/loss/network_1"} <= metrics.keys()


def test_a_tracker_that_is_not_there_is_one_warning_and_the_training_goes_on(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    facts, points = points_of(runs, "unreachable")
    started = time.monotonic()
    uri = f"http://127.0.0.1:{free_port()}"
    with caplog.at_level(logging.WARNING), live(in_mlflow(Registry(uri)), facts) as listen:
        for point in points:
            listen(point)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "segline.tracking.live"]
    told = "no more live curves of run unreachable in MLflow, the training goes on: "
    assert line.startswith(f"{told}{uri}: no MLflow server answers")
    assert time.monotonic() - started < 10


def test_a_training_that_failed_is_failed_in_mlflow_until_it_goes_on(runs: Runs, either: Registry) -> None:
    facts, points = points_of(runs, "failed")
    with pytest.raises(ArithmeticError), live(in_mlflow(either), facts) as listen:
        listen(points[0])
        raise ArithmeticError
    assert ongoing(either, facts).info.status == "FAILED"
    with live(in_mlflow(either), facts) as listen:
        listen(points[1])
    assert ongoing(either, facts).info.status == "RUNNING"


def test_a_step_that_a_training_comes_to_twice_is_one_point(runs: Runs, registry: Registry) -> None:
    facts, points = points_of(runs, "twice")
    again = [point.model_copy(update={"minutes": point.minutes + 1}) for point in points]
    for told in (points[:2], [*points[:1], *again[1:]]):  # the second point was not in the checkpoint
        with live(in_mlflow(registry), facts) as listen:
            for point in told:
                listen(point)
    run_id = ongoing(registry, facts).info.run_id
    assert curve(registry, run_id, "train/loss") == [(point.step, point.loss) for point in points]


def test_a_run_that_was_begun_and_not_recorded_is_ended(runs: Runs, registry: Registry) -> None:
    facts, points = points_of(runs, "unrecorded")
    with live(in_mlflow(registry), facts) as listen:
        listen(points[0])
    run_id = ongoing(registry, facts).info.run_id
    whole = facts_of(Run(runs.folder / "unrecorded"))
    for _ in range(2):
        finish([(in_mlflow(registry), whole)])
    assert registry.client.get_run(run_id).info.status == "FINISHED"
    assert curve(registry, run_id, "train/loss") == [(point.step, point.loss) for point in points]


def test_a_run_that_was_never_begun_is_not_made_to_be_ended(runs: Runs, registry: Registry) -> None:
    finish([(in_mlflow(registry), facts_of(runs.make("unbegun", "unbegun")))])
    assert registry.client.get_experiment_by_name("segline-unbegun") is None


class Hanging:
    """Never comes back."""

    def __init__(self) -> None:
        self.never = threading.Event()

    def begin(self, facts: Facts) -> Tracked:
        self.never.wait()
        return Tracked(facts.run)

    def add_points(self, tracked: Tracked, points: Iterable[Point]) -> None: ...

    def leave(self, tracked: Tracked, failed: bool) -> None: ...

    def finish(self, facts: Facts) -> None:
        self.begin(facts)

    record = begin


def test_trackers_that_hang_are_given_up_together_after_a_bounded_time(
    runs: Runs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest_s = 3.0
    monkeypatch.setattr("segline.tracking.live.LONGEST_END_S", longest_s)
    facts, points = points_of(runs, "hanging")
    trackers = {"first": Hanging(), "second": Hanging()}
    started = time.monotonic()
    with live(trackers, facts) as listen:
        for point in points:
            listen(point)
        assert time.monotonic() - started < longest_s
    assert longest_s - 0.5 < time.monotonic() - started < 2 * longest_s
    told = "no more live curves of run hanging in {}, the training goes on: it takes too long to answer"
    lines = [record.getMessage() for record in caplog.records if record.name == "segline.tracking.live"]
    assert lines == [told.format("first"), told.format("second")]


def test_after_ctrl_c_a_tracker_that_hangs_is_hardly_waited_for(runs: Runs) -> None:
    facts, points = points_of(runs, "interrupted-hanging")
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), live({"first": Hanging()}, facts) as listen:
        listen(points[0])
        raise KeyboardInterrupt
    assert time.monotonic() - started < LONGEST_END_S
