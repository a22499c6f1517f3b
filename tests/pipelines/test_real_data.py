"""Trainings of minutes, run by hand: ``.venv/bin/python -m pytest -m slow``. Figures for two CPU cores."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segline.backends import open_backend
from segline.data.manifest import Manifest
from segline.evaluation.masks.overlap import dice
from segline.imaging.files import read_volume, write_volume
from segline.inference.predictor import Predictor
from segline.model.package import Model

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


def with_mirror_images(source: Path, folder: Path) -> list[str]:
    """Copy the cases of a folder, each a folder; beside each its mirror image, since a split needs more."""
    names = sorted(path.name for path in source.iterdir() if path.is_dir())
    for name in names:
        shutil.copytree(source / name, folder / name)
        for path in (source / name).iterdir():
            volume = read_volume(path)
            mirrored = volume.with_array(np.ascontiguousarray(volume.array[:, ::-1]))
            write_volume(folder / f"{name}-mirrored" / path.name, mirrored)
    return names


def test_brain_learns_two_real_cases_by_heart(shared_data: Path, tmp_path: Path) -> None:
    """Overfits on purpose: four channels and three labels can be learned. Of other patients it tells nothing.

    The label maps are not manual, and their smallest label is in crumbs: figures are means over labels.
    """
    source = shared_data / "Brain_multimodal"
    if not source.is_dir():
        pytest.skip(f"the two brains are not at {source}; set SEGLINE_DATA")
    first, second = with_mirror_images(source, tmp_path / "Brains")
    plan = {
        "preprocessing": {"spacing_mm": [1.5] * 3},
        "network": {"channels": [12, 24, 48, 96], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]},
        "training": {
            "patch_size": [40, 40, 40],
            "batch_size": 2,
            "epochs": 240,
            "validations": 1,
            "augmentation": {"affine": 0, "noise": 0, "blur": 0, "intensity": 0, "gamma": 0, "bias_field": 0},
        },
        "inference": {"keep_largest": []},
        "split": {"train": [first, second], "val": [f"{first}-mirrored"], "test": [f"{second}-mirrored"]},
    }
    given = [(f"{part}.{key}", value) for part, values in plan.items() for key, value in values.items()]
    sets = [word for key, value in given for word in ("--set", f"{key}={json.dumps(value)}")]
    succeeded(tmp_path, "brain", "--data", str(tmp_path / "Brains"), *sets)
    by_label = learned(tmp_path / "runs/latest", [first, second])
    assert np.mean([*by_label.values()]) >= 0.8, by_label


def learned(run: Path, names: list[str]) -> dict[str, float]:
    """Dice of each label of some cases, on their own grids; of labels that a case has."""
    model, manifest = Model.open(run / "model"), Manifest.read(run / "manifest.json")
    predictor = Predictor(model.plan, open_backend("pytorch", model))
    found = {}
    for case in manifest.named(names):
        mask, truth = predictor(manifest.image(case)).array[0], manifest.label(case).array[0]
        for value in sorted({*np.unique(truth)} - {0}):
            found[f"{case.name}, {value}"] = dice(truth == value, mask == value)
    return found
