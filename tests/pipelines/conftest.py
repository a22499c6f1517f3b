"""A tiny task that runs through the whole DAG in about half a minute."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

TINY = {
    "name": "tiny",
    "source": "phantom:6",
    "plan": {
        "preprocessing": {"spacing_mm": [8, 8, 8], "intensity": [{"rule": "window", "window": [-57, 164]}]},
        "network": {"channels": [4, 8, 16]},
        "training": {"patch_size": [32, 32, 16], "batch_size": 2, "epochs": 20, "validations": 2},
        "gate": {"nsd_tolerance_mm": 3.0},
    },
}


@pytest.fixture(scope="session")
def tiny_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML of the tiny task."""
    path = tmp_path_factory.mktemp("task") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def run_command(folder: Path, task: Path | str, *more: str) -> list[str]:
    """The command line of a run whose runs and store lie in ``folder``."""
    places = ["--runs", str(folder / "runs"), "--store", str(folder / "store")]
    return [sys.executable, "-m", "pipelines.run", "--task", str(task), *places, *more]


def run_task(folder: Path, task: Path | str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run a task to its end, as ``make run`` does."""
    return subprocess.run(
        run_command(folder, task, *more),
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_task: Path) -> Path:
    """A folder in which the tiny task has been run once: ``runs`` and ``store``."""
    folder = tmp_path_factory.mktemp("finished")
    done = run_task(folder, tiny_task)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
