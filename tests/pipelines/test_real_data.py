"""Trainings of minutes, run by hand: ``.venv/bin/python -m pytest -m slow``. Figures for two CPU cores."""

import json
from pathlib import Path
from typing import Any

import pytest

from ..tiny_task import run_task

pytestmark = pytest.mark.slow


def succeeded(folder: Path, task: str, *more: str) -> dict[str, Any]:
    """The summary of a run that has to succeed."""
    done = run_task(folder, task, *more, timeout_s=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads((folder / "runs/latest/summary.json").read_text())
    return summary


def agreement(folder: Path) -> tuple[float, float]:
    """Largest Dice difference and least voxel agreement of any test case and backend."""
    comparisons = json.loads((folder / "runs/latest/gate.json").read_text())["comparisons"]
    worst = max(comparison["differences"]["dice"] for comparison in comparisons)
    return worst, min(comparison["agreement"] for comparison in comparisons)


def test_phantoms_reach_a_dice_of_090_in_eight_minutes(tmp_path: Path) -> None:
    summary = succeeded(tmp_path, "phantom")
    assert summary["seconds"] < 480
    assert summary["metrics"]["onnxruntime"]["overall"]["dice"]["mean"] >= 0.90


def test_hippocampus_reaches_a_dice_of_087_after_twelve_minutes_of_training(
    shared_data: Path, tmp_path: Path
) -> None:
    data = str(shared_data / "Task04_Hippocampus")
    summary = succeeded(tmp_path, "hippocampus", "--data", data, "--set", "training.max_minutes=12")
    assert summary["metrics"]["pytorch"]["overall"]["dice"]["mean"] >= 0.87
    assert set(summary["metrics"]["pytorch"]["by_label"]) == {"Anterior", "Posterior"}
    dice_difference, voxels = agreement(tmp_path)
    assert dice_difference <= 0.001
    assert voxels >= 0.9999


def test_four_real_cts_run_through(shared_data: Path, tmp_path: Path) -> None:
    data = str(shared_data / "Task09_SpleenMini")
    summary = succeeded(tmp_path, "spleen", "--data", data, "--set", "training.max_minutes=3")
    assert summary["dataset"]["cases"] == 4
    assert agreement(tmp_path)[1] >= 0.9999
