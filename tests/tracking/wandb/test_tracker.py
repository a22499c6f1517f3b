"""Runs in W&B: in its own client's files, and at a server that speaks its API on the loopback interface."""

import getpass
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from segline.common.errors import SeglineError
from segline.model.history import TrainingPoint
from segline.tracking.curves import values_at
from segline.tracking.facts import Facts
from segline.tracking.live import live
from segline.tracking.wandb.tracker import WandbTracker

from ...s3_server import free_port
from ...wandb_server import KeptRun, WandbServer

pytestmark = pytest.mark.heavy

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ASKED = "0123456789abcdef" * 4
ID = ASKED[:16]
POINTS = tuple(
    TrainingPoint(step=step, epoch=1, minutes=1, loss=1 / step, learning_rate=0.01, scores={"liver": 0.5})
    for step in (10, 20, 30)
)


def facts(curves: tuple[TrainingPoint, ...] = (), run: str = "tiny-1", parent: str = "") -> Facts:
    return Facts(
        run=run,
        task="tiny",
        asked=ASKED,
        started=STARTED,
        ended=STARTED,
        parent=parent,
        parameters={"plan.training.epochs": "20", "machine": platform.processor() or "a processor"},
        tags={"segline.verdict": "passed"},
        curves=tuple(value for point in curves for value in values_at(point, STARTED)),
        figures={"test/pytorch/dice": 0.875, "case/0123456789ab/liver/dice": 0.5},
        documents={"report.html": "the report"},
    )


def variables(**own: str) -> dict[str, str]:
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return {**theirs, **own}


@pytest.fixture
def offline(tmp_path: Path) -> WandbTracker:
    return WandbTracker(tmp_path, variables(WANDB_MODE="offline"))


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with WandbServer().running() as running:
        yield running


@pytest.fixture
def online(server: WandbServer, tmp_path: Path) -> WandbTracker:
    return WandbTracker(tmp_path, variables(**server.environment))


def records(folder: Path) -> list[Any]:
    """Of the one run below a folder, as the client wrote them."""
    from wandb.proto.wandb_internal_pb2 import Record  # seconds, which who only collects need not pay
    from wandb.sdk.internal.datastore import DataStore

    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    store, found = DataStore(), []
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        found.append(Record.FromString(bytes(data)))
    return found


def rows(folder: Path) -> list[dict[str, Any]]:
    items = (record.history.item for record in records(folder) if record.HasField("history"))
    return [{item.nested_key[0]: json.loads(item.value_json) for item in row} for row in items]


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(row["step"], row[name]) for row in rows(folder) if name in row]


def show(tracker: WandbTracker, *points: TrainingPoint) -> None:
    with live({"W&B": tracker}, facts()) as listen:
        for point in points:
            listen(point)


def test_a_run_made_offline_lies_in_files_that_can_be_synced(offline: WandbTracker, tmp_path: Path) -> None:
    show(offline, *POINTS)
    assert curve(tmp_path, "train/loss") == [(point.step, point.loss) for point in POINTS]
    assert curve(tmp_path, "val/dice/liver") == [(10, 0.5), (20, 0.5), (30, 0.5)]
    (run,) = [record.run for record in records(tmp_path) if record.HasField("run")]
    assert (run.run_id, run.project, run.display_name) == (ID, "segline", "tiny-1")
    command = [sys.executable, "-m", "wandb", "sync", "--show", "1", str(tmp_path / "wandb")]
    listed = subprocess.run(command, cwd=tmp_path, env=offline.environment, capture_output=True, text=True)
    assert ID in listed.stdout + listed.stderr


def test_a_training_that_goes_on_offline_is_the_same_run_whole_and_no_point_is_doubled(
    offline: WandbTracker, tmp_path: Path
) -> None:
    show(offline, *POINTS[:2])
    time.sleep(1.1)  # the client names folders by the second
    show(offline, POINTS[0], POINTS[2])
    assert [step for step, _ in curve(tmp_path, "train/loss")] == [10, 30]


def test_a_training_that_goes_on_is_the_same_run_at_the_server_and_no_point_is_doubled(
    online: WandbTracker, server: WandbServer
) -> None:
    show(online, *POINTS[:2])
    assert server.runs[ID].exit_code == 0
    show(online, *POINTS)
    assert server.runs.keys() == {ID}
    assert server.runs[ID].curve("train/loss") == [(point.step, point.loss) for point in POINTS]


def test_networks_that_are_trained_at_once_count_their_steps_for_themselves(
    online: WandbTracker, server: WandbServer
) -> None:
    with live({"W&B": online}, facts(), several=True) as listen:
        for point in (POINTS[0], POINTS[1]):
            listen(point)
        listen(POINTS[0].model_copy(update={"network": 1}))
    run = server.runs[ID]
    assert len(run.curve("train/loss/network_0", "step/network_0")) == 2
    assert run.curve("train/loss/network_1", "step/network_1") == [(10, POINTS[0].loss)]


def test_in_the_end_parameters_and_figures_are_there_and_no_single_case(
    online: WandbTracker, server: WandbServer
) -> None:
    show(online, *POINTS)
    online.finish(facts(POINTS))
    run = server.runs[ID]
    assert run.summary["test/pytorch/dice"] == 0.875
    config = json.loads(run.asked["config"])
    assert config["plan.training.epochs"] == {"value": 20}
    assert config["segline.verdict"] == {"value": "passed"}
    assert len(run.curve("train/loss")) == len(POINTS)
    assert "case/" not in "".join(server.bodies)


def test_folds_are_a_group(online: WandbTracker, server: WandbServer) -> None:
    online.leave(online.begin(facts(run="0", parent="tiny-1")), False)
    asked = server.runs[ID].asked
    assert (asked["displayName"], asked["groupName"]) == ("tiny-1 fold 0", "tiny-1")


def test_nothing_of_the_machine_the_code_or_its_repository_is_sent(
    online: WandbTracker, server: WandbServer
) -> None:
    show(online, *POINTS)
    online.finish(facts(POINTS))
    sent = "".join(server.bodies)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    kept_here = (socket.gethostname(), str(Path.cwd()), sys.executable, commit, "processor", "the report")
    assert [each for each in kept_here if each and f'"{each}' in sent] == []
    assert f'"{getpass.getuser()}"' not in sent
    assert set(server.uploads) == {"wandb-summary.json", "config.yaml"}
    assert "host" not in server.runs[ID].asked


def test_no_key_is_left_in_files(online: WandbTracker, server: WandbServer, tmp_path: Path) -> None:
    show(online, *POINTS)
    key = server.environment["WANDB_API_KEY"].encode()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not [path for path in files if key in path.read_bytes()]


def test_nothing_is_left_among_temporary_files(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:  # sockets cannot lie much deeper
        show(WandbTracker(tmp_path, variables(WANDB_MODE="offline", TMPDIR=scratch)), *POINTS)
        assert [path.name for path in Path(scratch).iterdir()] == []


def test_this_process_is_as_it_was(offline: WandbTracker, capfd: pytest.CaptureFixture[str]) -> None:
    before = sys.exit, sys.excepthook, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    show(offline, *POINTS)
    after = sys.exit, sys.excepthook, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert after == before
    assert capfd.readouterr() == ("", "")


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = {"WANDB_API_KEY": "k" * 40, "WANDB_BASE_URL": f"http://127.0.0.1:{free_port()}"}
    started = time.monotonic()
    show(WandbTracker(tmp_path, variables(**own)), *POINTS)
    assert time.monotonic() - started < 12
    (line,) = [record.getMessage() for record in caplog.records if record.name == "segline.tracking.live"]
    assert line.startswith("no more live curves of run tiny-1 in W&B, the training goes on: ")
    assert "\n" not in line and "k" * 40 not in line


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracker = WandbTracker(tmp_path, variables(WANDB_API_KEY="k" * 40, WANDB_BASE_URL=url))
        started = time.monotonic()
        show(tracker, *POINTS)
        assert time.monotonic() - started < 12
    assert [record.name for record in caplog.records] == ["segline.tracking.live"]


def test_a_key_that_is_none_is_wandbs_own_line(tmp_path: Path) -> None:
    own = {"WANDB_API_KEY": "short", "WANDB_BASE_URL": f"http://127.0.0.1:{free_port()}"}
    with pytest.raises(SeglineError, match=r"W&B: .*API key"):
        WandbTracker(tmp_path, variables(**own)).begin(facts())


TRAIN = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.tracking.wandb.test_tracker import POINTS, STARTED, facts, values_at
from segline.tracking.wandb.tracker import WandbTracker
tracker = WandbTracker(Path(sys.argv[1]), os.environ)
run = tracker.begin(facts())
tracker.add_points(run, values_at(POINTS[0], STARTED))
print("shown", flush=True)
time.sleep(600)
"""


def start_training(folder: Path, url: str, **more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", TRAIN, str(folder), str(Path(__file__).parents[3])]
    environment = variables(WANDB_API_KEY="k" * 40, WANDB_BASE_URL=url, **more)
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def await_end(processes: list[psutil.Process]) -> None:
    gone = psutil.wait_procs(processes, timeout=30)[1] == []
    assert processes and gone


def test_a_training_that_is_killed_leaves_what_it_showed_and_no_process(
    server: WandbServer, tmp_path: Path
) -> None:
    with start_training(tmp_path, server.url) as training:
        assert training.stdout and training.stdout.readline()
        family = descendants(training)
        training.kill()
    await_end(family)
    run: KeptRun = server.runs[ID]
    assert run.curve("train/loss") == [(10, POINTS[0].loss)]
    assert run.exit_code == 1


def test_a_training_that_is_killed_leaves_no_process_that_waits_for_a_silent_server(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch, socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with start_training(tmp_path, url, TMPDIR=scratch) as training:
            silent.accept()
            family = descendants(training)
            training.kill()
        await_end(family)
        assert [path.name for path in Path(scratch).iterdir()] == []
