"""What a run's folder says of its stages, whatever they end in."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from segline.common import atomic
from segline.common.errors import SeglineError, UnavailableError
from segline.data.manifest import Manifest
from segline.plan import Task
from segline.runs.records import RunInfo, StageRecord
from segline.runs.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return start(tmp_path / "run-1")


def start(folder: Path) -> Run:
    task = Task(name="blocks", source="folder:blocks")
    info = RunInfo(id=folder.name, task=task, started="2026-01-02T03:04:05Z", versions={}, machine="small")
    return Run.start(folder, info)


def only(run: Run) -> StageRecord:
    [record] = run.stages
    return record


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here, which takes root: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_run_says_what_was_asked_for(run: Run) -> None:
    assert run.info.id == "run-1" and run.info.task.name == "blocks"


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match="not a run's folder"):
        _ = Run(tmp_path).info


def test_a_stage_that_succeeds_is_recorded_with_what_it_says(run: Run) -> None:
    with run.stage("plan") as notes:
        notes.text = "patch 96x96x96"
    record = only(run)
    assert (record.name, record.status, record.reason) == ("plan", "succeeded", "patch 96x96x96")
    assert 0 <= record.seconds < 5


def test_a_stage_is_on_record_while_it_runs(run: Run) -> None:
    with run.stage("train"):
        assert only(run).status == "running"


def test_a_skipped_stage_is_recorded_and_the_run_goes_on(run: Run) -> None:
    with run.stage("build_tensorrt"):
        raise UnavailableError("no NVIDIA GPU")
    assert (only(run).status, only(run).reason) == ("skipped", "no NVIDIA GPU")


@pytest.mark.parametrize(
    ("stage", "told", "kept"),
    [
        ("evaluate_pytorch_amp", "pytorch_amp: runs on an NVIDIA GPU", "runs on an NVIDIA GPU"),
        ("quantize", "quantize: the plan asks for no int8 graph", "the plan asks for no int8 graph"),
        ("download", "dataset.json: no such file", "dataset.json: no such file"),
    ],
)
def test_a_reason_does_not_repeat_whose_it_is(run: Run, stage: str, told: str, kept: str) -> None:
    with run.stage(stage):
        raise UnavailableError(told)
    assert only(run).reason == kept


def test_an_error_for_the_user_is_recorded_and_passed_on(run: Run) -> None:
    error = SeglineError("dataset.json: no such file; give the folder that holds it")
    with pytest.raises(SeglineError) as caught, run.stage("download"):
        raise error
    assert caught.value is error
    assert (only(run).status, only(run).reason) == ("failed", str(error))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError("two\nlines"), "ValueError: two\nlines"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_any_other_error_is_recorded_with_its_kind(run: Run, error: BaseException, told: str) -> None:
    with pytest.raises(type(error)), run.stage("train"):
        raise error
    assert (only(run).status, only(run).reason) == ("failed", told)


def test_no_memory_becomes_one_line_that_says_what_to_lower(run: Run) -> None:
    with pytest.raises(SeglineError, match=r"lower training\.patch_size"), run.stage("train"):
        raise MemoryError
    assert only(run).reason.startswith("out of memory")


def test_stages_come_in_the_order_in_which_they_started(run: Run) -> None:
    for name in ("download", "plan", "benchmark", "compare"):
        with run.stage(name):
            pass
    assert [record.name for record in run.stages] == ["download", "plan", "benchmark", "compare"]


def test_a_stage_that_runs_again_replaces_its_record(run: Run) -> None:
    with pytest.raises(SeglineError), run.stage("plan"):
        raise SeglineError("no")
    with run.stage("plan"):
        pass
    assert only(run).status == "succeeded"


def test_a_damaged_record_counts_as_failed(run: Run) -> None:
    atomic.write_text(run.folder / "stages" / "plan.json", "")
    assert only(run).status == "failed"
    assert "plan.json: damaged; run the stage again" in only(run).reason


def test_a_record_that_was_never_finished_is_no_stage(run: Run) -> None:
    with run.stage("plan"):
        pass
    (run.folder / "stages" / ".writing-abc.json").touch()
    assert only(run).name == "plan"


def test_a_full_disk_becomes_one_line(small_disk: Path) -> None:
    run = start(small_disk / "run-1")
    with pytest.raises(SeglineError, match="no space left on the device"), run.stage("preprocess"):
        (small_disk / "big").write_bytes(os.urandom(2_000_000))


def test_weights_on_a_full_disk_become_the_same_line(small_disk: Path, run: Run) -> None:
    with pytest.raises(SeglineError, match="no space left on the device"), run.stage("train"):
        torch.save({"weights": torch.zeros(1_000_000)}, small_disk / "weights.pt")
    assert "no space left" in only(run).reason


def test_an_error_is_not_hidden_by_a_disk_too_full_to_record_it(small_disk: Path) -> None:
    run = start(small_disk / "run-1")
    with pytest.raises(SeglineError, match="label value 7"), run.stage("download"):
        fill(small_disk)
        raise SeglineError("label value 7 is not declared")


def test_a_stage_cannot_start_on_a_full_disk(small_disk: Path) -> None:
    run = start(small_disk / "run-1")
    fill(small_disk)
    with pytest.raises(SeglineError, match="no space left on the device"), run.stage("download"):
        pytest.fail("it started")


def fill(disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"), (disk / "rest").open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))


def test_a_published_file_replaces_the_earlier_one(run: Run, tmp_path: Path) -> None:
    for text in ("one", "two"):
        (tmp_path / "made.json").write_text(text)
        run.publish(tmp_path / "made.json", "plan.json")
    assert (run.folder / "plan.json").read_text() == "two"


def test_a_published_folder_leaves_nothing_of_the_earlier_one(run: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").touch()
        run.publish(tmp_path / name, "model")
    assert [path.name for path in (run.folder / "model").iterdir()] == ["b.txt"]


def test_what_already_lies_in_place_is_published_by_leaving_it(run: Run) -> None:
    (run.folder / "plan.json").write_text("x")
    run.publish(run.folder / "plan.json", "plan.json")
    assert (run.folder / "plan.json").read_text() == "x"


def test_an_empty_run_holds_nothing(run: Run) -> None:
    found = run.contents
    assert (found.manifest, found.plan, found.history, found.model) == (None, None, None, None)
    assert (found.evaluations, found.verdict, found.benchmark) == ((), None, None)
    assert found.problems == ()


@pytest.mark.parametrize(
    "name",
    ["manifest.json", "plan.json", "gate.json", "benchmark.json", "predictions/pytorch/evaluation.json"],
)
def test_a_damaged_part_becomes_one_problem(run: Run, name: str) -> None:
    atomic.write_text(run.folder / name, "{")
    [problem] = run.contents.problems
    assert name in problem and "\n" not in problem


def test_a_damaged_training_becomes_problems_of_its_model(run: Run) -> None:
    atomic.write_text(run.folder / "model" / "history.json", "{")
    first, second = run.contents.problems
    assert "model/history.json: not a training history" in first
    assert first.endswith("run train again")
    assert "not a model package, plan.json is missing" in second


def test_a_damaged_plan_does_not_hide_the_data_set(run: Run, phantoms: Manifest) -> None:
    phantoms.write(run.folder / "manifest.json")
    (run.folder / "plan.json").write_text("{")
    found = run.contents
    assert found.manifest == phantoms
    assert found.plan is None
    [problem] = found.problems
    assert "plan.json" in problem
