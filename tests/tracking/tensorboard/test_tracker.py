"""Runs in TensorBoard's event files, read back by TensorBoard."""

import socket
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from segline.model.history import TrainingPoint
from segline.tracking.curves import Point, values_at
from segline.tracking.facts import Facts
from segline.tracking.live import live
from segline.tracking.tensorboard.tracker import TensorBoardTracker, open_tracker

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
POINTS = tuple(
    TrainingPoint(
        step=step,
        epoch=step / 10,
        minutes=step / 20,
        loss=1 / step,
        learning_rate=0.01,
        scores={"liver": step / 100, "spleen": step / 50},
    )
    for step in (10, 20, 30)
)


@pytest.fixture
def tracker(tmp_path: Path) -> TensorBoardTracker:
    return open_tracker(str(tmp_path / "tensorboard"))


def facts(run: str = "tiny-1", curves: tuple[TrainingPoint, ...] = (), parent: str = "") -> Facts:
    return Facts(
        run=run,
        task="tiny",
        asked="0" * 64,
        started=STARTED,
        ended=STARTED,
        parent=parent,
        parameters={"plan.training.epochs": "20", "plan.network.name": "unet"},
        tags={"segline.verdict": "passed"},
        curves=tuple(value for point in curves for value in values_at(point, STARTED)),
        figures={"test/pytorch/dice": 0.875, "case/0123456789ab/liver/dice": 0.5},
    )


def written(folder: Path) -> list[Path]:
    """The files that hold anything."""
    return [path for path in folder.iterdir() if path.stat().st_size]


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def steps(folder: Path, name: str = "train/loss") -> list[int]:
    return [event.step for event in read(folder).Scalars(name)]


def recorded(folder: Path) -> Counter[tuple[str, int]]:
    """How often each name and step is there, in whatever file."""
    events = (event for path in folder.iterdir() for event in EventFileLoader(str(path)).Load())
    return Counter((value.tag, event.step) for event in events for value in event.summary.value)


def test_a_point_can_be_read_while_the_training_goes_on(tracker: TensorBoardTracker) -> None:
    run = tracker.begin(facts())
    tracker.add_points(run, values_at(POINTS[0], STARTED))
    board = read(tracker.folder / "tiny-1")
    assert set(board.Tags()["scalars"]) == {
        *("train/loss", "train/learning_rate"),
        *("val/dice", "val/dice/liver", "val/dice/spleen"),
    }
    (loss,) = board.Scalars("train/loss")
    assert (loss.step, loss.value) == (10, pytest.approx(0.1))
    assert loss.wall_time == STARTED.timestamp() + 30


def test_a_training_that_goes_on_is_written_from_its_beginning_and_nothing_twice(
    tracker: TensorBoardTracker,
) -> None:
    folder = tracker.folder / "tiny-1"
    with live({"TensorBoard": tracker}, facts()) as listen:
        for point in POINTS:
            listen(point)
    (torn,) = written(folder)
    torn.write_bytes(torn.read_bytes()[:-7])  # as a kill may leave it
    with live({"TensorBoard": tracker}, facts()) as listen:
        listen(POINTS[0])
        listen(POINTS[2].model_copy(update={"step": 25}))
    assert steps(folder) == [10, 25]
    assert set(recorded(folder).values()) == {1}


def test_a_board_that_looks_on_forgets_what_was_lost(tracker: TensorBoardTracker) -> None:
    first = tracker.begin(facts())
    for point in POINTS:
        tracker.add_points(first, values_at(point, STARTED))
    board = read(tracker.folder / "tiny-1")
    again = tracker.begin(facts())
    tracker.add_points(again, values_at(POINTS[0], STARTED))
    board.Reload()
    assert [event.step for event in board.Scalars("train/loss")] == [10]


def test_networks_that_are_trained_at_once_have_curves_of_their_own(tracker: TensorBoardTracker) -> None:
    with live({"TensorBoard": tracker}, facts(), several=True) as listen:
        listen(POINTS[0])
        listen(POINTS[0].model_copy(update={"network": 1}))
    assert {"train/loss/network_0", "train/loss/network_1"} <= set(
        read(tracker.folder / "tiny-1").Tags()["scalars"]
    )


def test_a_fold_is_a_run_beside_the_others(tracker: TensorBoardTracker) -> None:
    tracker.begin(facts("0", parent="tiny-1"))
    assert [path.name for path in tracker.folder.iterdir()] == ["tiny-1_fold_0"]


def test_in_the_end_parameters_and_results_are_there_and_no_single_case(tracker: TensorBoardTracker) -> None:
    folder = tracker.folder / "tiny-1"
    for _ in range(2):
        tracker.finish(facts(curves=POINTS))
    board = read(folder)
    assert steps(folder) == [10, 20, 30]
    assert board.Scalars("test/pytorch/dice")[0].value == 0.875
    assert not any("case/" in name for name in board.Tags()["scalars"])
    (parameters,) = board.Tensors("parameters/text_summary")
    assert b"| plan.network.name | unet |" in parameters.tensor_proto.string_val[0]
    (results,) = board.Tensors("results/text_summary")
    assert b"| test/pytorch/dice | 0.875 |" in results.tensor_proto.string_val[0]
    assert set(recorded(folder).values()) == {1}


def test_runs_are_compared_by_the_settings_of_their_training(tracker: TensorBoardTracker) -> None:
    tracker.finish(facts(curves=POINTS))
    board = read(tracker.folder / "tiny-1")
    content = board.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    started = HParamsPluginData.FromString(content).session_start_info.hparams
    assert {name: value.number_value for name, value in started.items()} == {"training.epochs": 20}


def test_a_run_that_failed_before_its_end_keeps_the_curves_it_has(tracker: TensorBoardTracker) -> None:
    run = tracker.begin(facts())
    tracker.add_points(run, values_at(POINTS[0], STARTED))
    tracker.finish(facts())
    assert steps(tracker.folder / "tiny-1") == [10]


def test_no_file_names_the_machine(tracker: TensorBoardTracker) -> None:
    tracker.add_points(tracker.begin(facts()), [Point("train/loss", 1.0, STARTED, 1)])
    (path,) = (tracker.folder / "tiny-1").iterdir()
    assert path.name == f"events.out.tfevents.{STARTED.timestamp():.0f}.000.segline"
    assert socket.gethostname().encode() not in path.read_bytes()
