"""Runs in a bucket: what a stage leaves is there for the next one, wherever that works."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.runs.remote import open_run, open_whole_run
from segline.storage.access import Access

from ..s3_server import S3Server, see_the_disk


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[Path]:
    with s3_server.lent("runs") as folder:
        yield folder


@pytest.fixture
def access(s3_server: S3Server, bucket: Path, tmp_path: Path) -> Access:
    assert bucket.is_dir()
    return Access(s3_server.settings, tmp_path)


RUN = "s3://runs/spleen/run-1"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def contents(folder: Path) -> dict[str, str]:
    see_the_disk()
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def test_what_is_added_replaced_and_removed_is_sent_back(access, bucket):
    with open_run(RUN, access) as run:
        write(run.folder / "run.json", "asked")
        write(run.folder / "model/plan.json", "plan")
        write(run.folder / "model/old.onnx", "graph")
    with open_whole_run(RUN, access) as run:
        write(run.folder / "model/plan.json", "another")
        (run.folder / "model/old.onnx").unlink()
        write(run.folder / "report.html", "page")
    assert contents(bucket / "spleen/run-1") == {
        "run.json": "asked",
        "model/plan.json": "another",
        "report.html": "page",
    }


def test_a_stage_gets_no_more_than_it_reads(access, bucket):
    with open_run(RUN, access) as run:
        for name in ("run.json", "manifest.json"):
            write(run.folder / name, name)
    with open_run(RUN, access) as run:
        assert contents(run.folder) == {"run.json": "run.json"}
        write(run.folder / "stages/plan.json", "done")
    assert set(contents(bucket / "spleen/run-1")) == {"run.json", "manifest.json", "stages/plan.json"}


def test_stages_at_the_same_time_do_not_undo_each_other(access, bucket):
    with open_whole_run(RUN, access) as one, open_whole_run(RUN, access) as other:
        write(one.folder / "predictions/pytorch/evaluation.json", "1")
        write(other.folder / "predictions/openvino/evaluation.json", "2")
    assert set(contents(bucket / "spleen/run-1")) == {
        "predictions/pytorch/evaluation.json",
        "predictions/openvino/evaluation.json",
    }


def test_what_a_failing_stage_wrote_is_sent_too(access, bucket):
    with pytest.raises(SeglineError, match="no such"), open_run(RUN, access) as run:
        write(run.folder / "stages/train.json", "failed")
        raise SeglineError("no such thing")
    assert contents(bucket / "spleen/run-1") == {"stages/train.json": "failed"}


def test_nothing_is_left_on_the_machine(access):
    with open_run(RUN, access) as run:
        write(run.folder / "run.json", "asked")
    assert not run.folder.exists()


def test_a_folder_is_the_run_itself(access, tmp_path):
    with open_run(tmp_path / "run", access) as run:
        assert run.folder == tmp_path / "run"


def test_a_stage_that_is_killed_is_known(access, bucket):
    with open_run(RUN, access) as run, run.stage("train"):
        see_the_disk()
        record = json.loads((bucket / "spleen/run-1/stages/train.json").read_text())
        assert (record["name"], record["status"]) == ("train", "running")
    see_the_disk()
    assert json.loads((bucket / "spleen/run-1/stages/train.json").read_text())["status"] == "succeeded"
