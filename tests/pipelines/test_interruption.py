"""What Ctrl-C and SIGTERM leave of a run on this machine: a report, one line, and nothing that runs on."""

import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from segline.runs.summary import Summary
from segline.tracking.mlflow_connection import Registry
from segline.tracking.mlflow_settings import local_uri

from ..tiny_task import ROOT, run_command
from ..waiting import wait_until
from .test_dag import TORCH_CACHE, stage_of, summary_of

LONG = ("--set", "training.epochs=200")
GOES_ON = "interrupted; the same command goes on from what is in the store"


@dataclass(frozen=True)
class Ended:
    """A run, and how its process ended."""

    folder: Path
    status: int
    out: str
    err: str
    temporary: frozenset[str] = frozenset()
    """What is left among temporary files."""


class Running:
    """A run in a process group of its own, as a shell starts it."""

    def __init__(self, folder: Path, task: Path, *more: str, **environment: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            run_command(folder, task, *LONG, *more),
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # a shell that put the tests into the background lets them ignore it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def until(self, *paths: str) -> "Running":
        """Wait for files below the folder, of which each may be a pattern."""
        found = [lambda path=path: [*self.folder.glob(path)] for path in paths]
        wait_until(lambda: all(each() for each in found) or self.process.poll() is not None, 300)
        assert self.process.poll() is None, "the run ended before it could be interrupted"
        return self

    def ended(self) -> Ended:
        """Once it has ended, with whatever it started."""
        out, err = self.process.communicate(timeout=120)
        return Ended(self.folder, self.process.returncode, out, err)

    def press_ctrl_c(self) -> None:
        """As a terminal does: every process of the group gets the signal."""
        os.killpg(self.process.pid, signal.SIGINT)


def stages_of(group: int) -> list[str]:
    """The names of what runs in a process group: stages go by theirs."""
    return [each.name() for each in psutil.process_iter(["name"]) if os.getpgid(each.pid) == group]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs of this file and their store lie."""
    return tmp_path_factory.mktemp("interrupted")


@pytest.fixture(scope="module")
def interrupted(folder: Path, tiny_task: Path) -> Ended:
    """Ctrl-C in the training, once there is a checkpoint, with every tracker on."""
    trackers = {"TENSORBOARD": "1", "WANDB_MODE": "offline"}
    tracking = local_uri(folder / "store")
    with tempfile.TemporaryDirectory() as scratch:  # sockets cannot lie much deeper
        run = Running(folder, tiny_task, "--tracking", tracking, TMPDIR=scratch, **trackers)
        run.until("store/checkpoints/[0-9a-f]*.pt", "runs/tensorboard/*/*", "runs/wandb/offline-run-*")
        run.press_ctrl_c()
        wait_until(lambda: "train" not in stages_of(run.process.pid), 3)
        return replace(run.ended(), temporary=frozenset(path.name for path in Path(scratch).iterdir()))


@pytest.fixture(scope="module")
def terminated(interrupted: Ended, tiny_task: Path) -> Ended:
    """The same command again, whose first process alone is told to end after the training."""
    before = {path.name for path in interrupted.folder.glob("runs/tiny-*")}
    run = Running(interrupted.folder, tiny_task)
    wait_until(lambda: {path.name for path in run.folder.glob("runs/tiny-*")} > before, 60)
    run.until("runs/latest/stages/export_onnx.json").process.send_signal(signal.SIGTERM)
    wait_until(lambda: "export_onnx" not in stages_of(run.process.pid), 3)
    return run.ended()


def test_ctrl_c_ends_a_run_with_130_and_one_line_that_says_how_to_go_on(interrupted: Ended) -> None:
    assert interrupted.status == 130
    assert interrupted.err.startswith(f"segline: train {GOES_ON}")
    assert interrupted.err.count("\n") == 1
    assert "Traceback" not in interrupted.out + interrupted.err


def test_what_was_interrupted_leaves_nothing_among_temporary_files(interrupted: Ended) -> None:
    assert interrupted.temporary <= {TORCH_CACHE}


def test_what_was_interrupted_is_ended_in_mlflow_and_has_its_curves(interrupted: Ended) -> None:
    client = Registry(local_uri(interrupted.folder / "store")).client
    experiment = client.get_experiment_by_name("segline-tiny")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.metrics["train/loss"] > 0
    assert list(interrupted.folder.glob(f"runs/tensorboard/{run.info.run_name}/events*.segline"))


def test_what_was_interrupted_stands_in_the_summary_and_the_report(interrupted: Ended) -> None:
    latest = interrupted.folder / "runs" / Path(interrupted.out.splitlines()[-1]).parent.name
    summary = Summary.model_validate_json((latest / "summary.json").read_text())
    assert (summary.status, summary.reasons) == ("failed", ("train: interrupted",))
    assert [(stage.name, stage.status) for stage in summary.stages][-2:] == [
        ("preprocess", "succeeded"),
        ("train", "failed"),
    ]
    page = (latest / "report.html").read_text()
    assert "This run was interrupted" in page
    assert "too much memory" not in page
    assert interrupted.out.splitlines()[-1] == f"interrupted: {latest / 'report.html'}"


def test_sigterm_to_the_run_alone_ends_its_stage_too_and_is_143(terminated: Ended) -> None:
    assert terminated.status == 143
    assert terminated.err.startswith(f"segline: export_onnx {GOES_ON}")
    assert terminated.err.count("\n") == 1
    assert summary_of(terminated.folder)["reasons"] == ["export_onnx: interrupted"]


def test_the_same_command_continues_an_interrupted_training(terminated: Ended) -> None:
    assert "continued from step" in stage_of(terminated.folder, "train")["reason"]


def test_a_second_ctrl_c_leaves_the_report_out(tmp_path: Path, tiny_task: Path) -> None:
    run = Running(tmp_path, tiny_task).until("runs/latest/stages/download.json")
    run.press_ctrl_c()
    wait_until(lambda: "report" in stages_of(run.process.pid), 20)
    run.press_ctrl_c()
    wait_until(lambda: "report" not in stages_of(run.process.pid), 3)
    ended = run.ended()
    assert (ended.status, ended.err.count("\n")) == (130, 1)
    assert "Traceback" not in ended.out + ended.err
    assert not (tmp_path / "runs/latest/report.html").exists()


def test_ctrl_c_before_there_is_a_run_is_one_line(tmp_path: Path, tiny_task: Path) -> None:
    run = Running(tmp_path, tiny_task)
    wait_until(lambda: takes(run.process.pid, signal.SIGTERM), 20)
    run.press_ctrl_c()
    ended = run.ended()
    assert (ended.status, ended.err) == (130, "segline: interrupted before the run began\n")
    assert not (tmp_path / "runs").exists()


def takes(pid: int, number: signal.Signals) -> Any:
    """Whether a process has a handler for a signal."""
    status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["SigCgt"], 16) >> (number - 1) & 1
