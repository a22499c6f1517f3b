"""What Ctrl-C leaves of a command: one line, and no worker."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from segline.runs.run import Run

from ..waiting import wait_until

pytestmark = pytest.mark.heavy


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    """A copy of the finished run, to change."""
    return Run(Path(shutil.copytree(finished / "runs/latest/", tmp_path / "run")))


def interrupted(run: Run, command: str, *more: str) -> subprocess.CompletedProcess[str]:
    """A command of a run after Ctrl-C in its stage, which a terminal sends to all processes of the group."""
    record = run.folder / "stages" / f"{command}.json"
    record.unlink()
    process = subprocess.Popen(
        [sys.executable, "-m", "segline.cli", command, "--run", str(run.folder), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell that put the tests into the background lets them ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: record.is_file() and (command != "benchmark" or has_worker(process.pid)))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def has_worker(pid: int) -> bool:
    """Whether a process has one, however young: a fork of its child that has imported what they need."""
    return len(psutil.Process(pid).children(recursive=True)) > len(psutil.Process(pid).children())


def test_a_command_ends_with_130_in_one_line(run: Run, finished: Path) -> None:
    store = ["--store", str(finished / "store")]
    preprocess = [sys.executable, "-m", "segline.cli", "preprocess", "--run", str(run.folder), *store]
    subprocess.run(preprocess, check=True, capture_output=True)  # what a training begins with
    done = interrupted(run, "train", *store)
    assert (done.returncode, done.stderr) == (130, "segline train: interrupted\n")
    assert next(each for each in run.stages if each.name == "train").reason == "interrupted"


def test_its_workers_end_with_it_and_say_nothing(run: Run) -> None:
    done = interrupted(run, "benchmark")
    assert (done.returncode, done.stderr) == (130, "segline benchmark: interrupted\n")
    assert next(each for each in run.stages if each.name == "benchmark").reason == "interrupted"
