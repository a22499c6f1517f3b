"""A tiny task that runs through the whole DAG in about half a minute, and how to run it."""

import subprocess
import sys
from pathlib import Path

from .command import python

ROOT = Path(__file__).resolve().parents[1]

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


def run_command(folder: Path, task: Path | str, *more: str) -> list[str]:
    """The command line of a run whose runs and store lie in ``folder``."""
    places = ["--runs", str(folder / "runs"), "--store", str(folder / "store")]
    return [sys.executable, "-m", "pipelines.run", "--task", str(task), *places, *more]


def run_task(
    folder: Path, task: Path | str, *more: str, timeout_s: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run a task to its end, as ``make run`` does."""
    _, *command = run_command(folder, task, *more)
    return python(*command, cwd=ROOT, timeout_s=timeout_s)
