"""The whole DAG through the local runner, as ``make run`` starts it."""

import getpass
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segline.backends import BACKENDS
from segline.imaging.files import read_volume, write_volume
from segline.imaging.volume import Volume
from segline.runs.run import Run

from ..command import Python
from ..tiny_task import ROOT, run_command, run_task
from ..waiting import wait_until

STAGES = [
    "download",
    "plan",
    "preprocess",
    "train",
    "export_onnx",
    "quantize",
    "build_tensorrt",
    *(f"evaluate_{backend}" for backend in BACKENDS),
    "compare",
    "benchmark",
    "register",
]
TORCH_CACHE = f"torchinductor_{getpass.getuser()}"
"""Made by an import of PyTorch's, empty, and once for all."""


@pytest.fixture()
def again(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run's folders, to run in once more."""
    return shutil.copytree(finished, tmp_path / "again", symlinks=True)


def summary_of(folder: Path) -> dict[str, Any]:
    """The summary of the latest run in ``folder``."""
    loaded: dict[str, Any] = json.loads((folder / "runs/latest/summary.json").read_text())
    return loaded


def stage_of(folder: Path, name: str) -> dict[str, Any]:
    """The record of one stage of the latest run."""
    return next(stage for stage in summary_of(folder)["stages"] if stage["name"] == name)


def test_every_stage_is_recorded_and_none_fails(finished: Path) -> None:
    stages = {stage["name"]: stage["status"] for stage in summary_of(finished)["stages"]}
    assert sorted(stages) == sorted(STAGES)
    assert set(stages.values()) <= {"succeeded", "skipped"}


def test_a_stage_that_cannot_run_here_says_why(finished: Path) -> None:
    record = stage_of(finished, "build_tensorrt")
    assert record["status"] == "succeeded" or "no NVIDIA GPU" in record["reason"]


def test_the_summary_holds_what_a_machine_asks_for(finished: Path) -> None:
    summary = summary_of(finished)
    assert summary["status"] == "succeeded"
    assert summary["dataset"]["cases"] == 6
    assert [len(summary["split"][part]) for part in ("train", "val", "test")] == [4, 1, 1]
    absent = {other["backend"] for other in summary["gate"]["absent"]}
    assert {"pytorch", "onnxruntime", "openvino"} <= set(summary["metrics"]) == set(BACKENDS) - absent
    for figures in summary["metrics"].values():
        assert {"dice", "nsd", "hd95_mm"} <= figures["overall"].keys() == figures["by_label"]["spleen"].keys()
        assert {"mean", "ci95"} <= figures["overall"]["dice"].keys()
    assert (summary["gate"]["passed"], summary["gate"]["reasons"]) == (True, [])
    assert {"plan", "dataset", "weights.pt", "model.onnx"} <= summary["model"].keys()
    timed = summary["benchmark"]["backends"] + summary["benchmark"]["unavailable"]
    assert {each["backend"] for each in timed} == set(BACKENDS)


def test_what_people_and_machines_read_is_in_the_runs_folder(finished: Path) -> None:
    latest = finished / "runs/latest"
    assert latest.is_symlink()
    for name in ("report.html", "plan.json", "model/weights.pt", "model/model.onnx", "run.log"):
        assert (latest / name).is_file(), name
    assert len(list((latest / "predictions/pytorch").glob("*.nii.gz"))) == 1


def test_every_backend_gives_the_same_masks(finished: Path) -> None:
    folder = finished / "runs/latest/predictions"
    for mask in (folder / "pytorch").glob("*.nii.gz"):
        reference = read_volume(mask).array
        for backend in summary_of(finished)["metrics"]:
            assert np.mean(read_volume(folder / backend / mask.name).array == reference) >= 0.9999, backend


def test_a_second_run_reuses_every_case_and_gives_the_same_model_byte_for_byte(
    again: Path, tiny_task: Path
) -> None:
    before = summary_of(again)["model"]
    assert run_task(again, tiny_task).returncode == 0
    record = stage_of(again, "preprocess")
    assert record["reason"] == "0 cases computed, 6 reused from the cache"
    assert record["seconds"] < 2
    after = summary_of(again)["model"]
    for name in ("plan", "dataset", "weights.pt", "model.onnx"):
        assert after[name] == before[name], name


def test_bad_data_fails_the_run_in_one_line_and_the_report_is_still_written(
    tiny_task: Path, tmp_path: Path
) -> None:
    data = bad_dataset(tmp_path / "data")
    done = run_task(tmp_path, tiny_task, "--data", str(data))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "segline: download: imagesTr/case_1.nii.gz: label grid 8x8x7 differs" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert summary_of(tmp_path)["status"] == "failed"
    assert "label grid 8x8x7 differs" in (tmp_path / "runs/latest/report.html").read_text()


def test_a_run_leaves_nothing_among_temporary_files(tiny_task: Path, tmp_path: Path) -> None:
    command = run_command(tmp_path, tiny_task, "--data", str(bad_dataset(tmp_path / "data")))
    with tempfile.TemporaryDirectory() as scratch:  # sockets cannot lie much deeper
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "TMPDIR": scratch}, capture_output=True)
        assert done.returncode == 1, done.stderr
        assert {path.name for path in Path(scratch).iterdir()} <= {TORCH_CACHE}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--task", "liver"], "task 'liver': no such task"),
        (["--task", "phantom", "--set", "epochs"], "key=value is needed"),
        (["--task", "phantom", "--store", "s3://bucket/x"], "s3://bucket/x: no registry in a bucket"),
    ],
)
def test_bad_arguments_are_told_before_anything_starts(
    arguments: list[str], line: str, tmp_path: Path
) -> None:
    done = run_task(tmp_path, *arguments[1:])
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_an_unknown_plan_key_is_named(tmp_path: Path, tiny_task: Path) -> None:
    done = run_task(tmp_path, tiny_task, "--set", "training.learningrate=1")
    assert done.returncode == 1
    assert "segline: plan: task tiny: plan.training.learningrate" in done.stderr


def test_a_patch_larger_than_memory_is_refused_before_training(again: Path, tiny_task: Path) -> None:
    deeper = ("--set", "network.channels=[4, 8, 16, 32, 64]")
    done = run_task(again, tiny_task, "--set", "training.patch_size=[4096, 4096, 2048]", *deeper)
    assert done.returncode == 1
    assert "segline: train: plan: patch 4096x4096x2048, batch 2 needs about" in done.stderr


@dataclass(frozen=True)
class Ended:
    """A run, and how its process ended."""

    folder: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory, tiny_task: Path) -> Ended:
    """A run for a budget whose model cannot pass, killed in its training and started again."""
    folder = tmp_path_factory.mktemp("resumed")
    asked = ("training.tune=true", "training.max_minutes=0.4", "gate.floor=1.0")
    settings = [word for setting in asked for word in ("--set", setting)]
    _, *words = run_command(folder, tiny_task, *settings)
    first = Python(*words, cwd=ROOT)
    checkpoints = folder / "store/checkpoints"
    wait_until(lambda: [*checkpoints.glob("[0-9a-f]*.pt")] or not first.runs, 300)
    assert first.runs, "the run ended before it could be killed"
    first.kill()
    return Ended(folder, run_task(folder, tiny_task, *settings))


def test_a_run_killed_in_training_continues_from_its_checkpoint(resumed: Ended) -> None:
    history = json.loads((resumed.folder / "runs/latest/model/history.json").read_text())
    assert history["resumed_from_step"] > 0
    assert "continued from step" in stage_of(resumed.folder, "train")["reason"]
    assert list((resumed.folder / "store/checkpoints").glob("[0-9a-f]*.pt")) == []


def test_with_a_budget_all_that_follows_goes_by_the_plan_that_was_tuned(resumed: Ended) -> None:
    run = Run(resumed.folder / "runs/latest")
    found = run.contents
    assert found.plan is not None and found.tuning is not None and found.model is not None
    assert found.plan == found.model.plan and not found.plan.training.tune
    assert {evaluation.plan_digest for evaluation in found.evaluations} == {found.plan.digest}
    assert found.verdict is not None
    assert all("is below the floor" in reason for reason in found.verdict.reasons), found.verdict.reasons
    assert "tuned in" in stage_of(resumed.folder, "train")["reason"]
    assert "How it was tuned to this machine" in (run.folder / "report.html").read_text()


def test_a_model_below_the_floor_is_blocked_with_the_reason(resumed: Ended) -> None:
    assert resumed.done.returncode == 3
    assert summary_of(resumed.folder)["status"] == "blocked"
    assert "is below the floor 1" in resumed.done.stderr
    assert "below the floor" in (resumed.folder / "runs/latest/report.html").read_text()


def test_whoever_follows_a_blocked_run_does_not_read_of_a_success(resumed: Ended) -> None:
    assert stage_of(resumed.folder, "register")["status"] == "skipped"
    log = re.sub(r"\x1b\[\d+m", "", (resumed.folder / "runs/latest/run.log").read_text())
    assert "segline register: the gate blocked the model; it is not registered" in log
    assert "Task 'register' finished with status FAILURE" in log
    assert "Pipeline 'segline' finished with status FAILURE" in log


def bad_dataset(folder: Path) -> Path:
    """A Decathlon folder whose second label is on another grid."""
    for number in range(3):
        image = Volume(np.zeros((1, 8, 8, 8), np.int16), np.eye(4))
        label = Volume(np.zeros((1, 8, 8, 7 if number == 1 else 8), np.uint8), np.eye(4))
        write_volume(folder / f"imagesTr/case_{number}.nii.gz", image)
        write_volume(folder / f"labelsTr/case_{number}.nii.gz", label)
    pairs = [
        {"image": f"./imagesTr/case_{n}.nii.gz", "label": f"./labelsTr/case_{n}.nii.gz"} for n in range(3)
    ]
    declared = {"name": "Bad", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "spleen"}}
    (folder / "dataset.json").write_text(json.dumps({**declared, "training": pairs, "test": []}))
    return folder
