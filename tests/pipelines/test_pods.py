"""Stages as pods run them: each with a disk of its own, nothing shared but a bucket that fails at times."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from segline.common.digests import sha256_of_file
from segline.data.cases.upkeep import damaged
from segline.storage.access import Access
from segline.storage.store import FOLDER_MARKER

from ..command import Python
from ..s3_server import ACCESS_KEY, SECRET_KEY, S3Server, see_the_disk
from ..waiting import wait_until

CASES = 8
TASK = {
    "name": "pods",
    "source": f"phantom:{CASES}",
    "plan": {
        "preprocessing": {"spacing_mm": [5, 5, 5], "intensity": [{"rule": "window", "window": [-57, 164]}]},
        "network": {"channels": [4, 8], "strides": [[2, 2, 2]]},
        "training": {"patch_size": [16, 16, 16], "batch_size": 2, "epochs": 200, "validations": 20},
        "gate": {"nsd_tolerance_mm": 3.0, "required": ["pytorch", "onnxruntime"]},
    },
}
OUTAGE_S = 12
RUN, STORE = "one", ""
"""As the compiled pipeline names them: where they lie is for the cluster's settings to say."""


class Pods:
    """Runs stages, each in a process whose working copies nobody else sees and that are gone with it."""

    def __init__(self, server: S3Server, folder: Path) -> None:
        self.server, self.folder, self.count = server, folder, 0
        self.artifacts = folder / "artifacts"
        self.artifacts.mkdir()

    def start(self, stage: str, *arguments: object) -> Python:
        self.count += 1
        scratch = self.folder / f"pod-{self.count}"
        scratch.mkdir()
        code = "import sys; from segline import stages; getattr(stages, sys.argv[1])(*sys.argv[2:])"
        environment = {
            **os.environ,
            "S3_ENDPOINT": f"http://{self.server.settings.endpoint}",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "SEGLINE_BUCKET": "s3://pods",
            "SEGLINE_SCRATCH": str(scratch),
            "TMPDIR": str(scratch),
        }
        return Python("-c", code, stage, *arguments, cwd=scratch, environment=environment)

    def finish(self, process: Python) -> str:
        done = process.finish()
        assert done.returncode == 0, done.stdout + done.stderr
        shutil.rmtree(self.folder / f"pod-{self.count}")
        return done.stdout

    def run(self, stage: str, *arguments: object) -> str:
        return self.finish(self.start(stage, *arguments))

    def outage(self) -> None:
        """The bucket's server dies, and is back after a while."""
        self.server.kill()
        time.sleep(OUTAGE_S)
        self.server.start()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    """One that may be killed."""
    (tmp_path / "buckets").mkdir()
    with S3Server(tmp_path / "buckets") as server:
        yield server


@pytest.fixture
def bucket(server: S3Server) -> Path:
    return server.bucket("pods")


@pytest.fixture
def pods(server: S3Server, tmp_path: Path) -> Pods:
    return Pods(server, tmp_path)


def whole_cases(bucket: Path) -> int:
    return len(list(bucket.glob(f"store/cases/*/{FOLDER_MARKER}")))


def checkpoint(bucket: Path) -> float:
    """When the checkpoint in the bucket was written; 0 where there is none."""
    written = [0.0]
    for path in bucket.glob("store/checkpoints/*.pt"):
        with suppress(FileNotFoundError):  # the server takes one away as it puts the next in its place
            written.append(path.stat().st_mtime)
    return max(written)


def test_a_run_ends_right_although_the_store_and_a_pod_die(
    pods: Pods, bucket: Path, server: S3Server, tmp_path: Path
) -> None:
    at = pods.artifacts
    pods.run("start", RUN, json.dumps(TASK))
    pods.run("download", RUN, STORE, at / "manifest")
    pods.run("plan", RUN, at / "manifest", at / "plan")

    preprocessing = pods.start("preprocess", RUN, STORE, at / "manifest", at / "plan", at / "cases")
    wait_until(lambda: whole_cases(bucket) > 0, 120)
    pods.outage()
    assert f"{CASES} cases computed, 0 reused" in pods.finish(preprocessing)

    train = ("train", RUN, STORE, at / "plan", at / "cases", at / "model", "cpu")
    first = pods.start(*train)
    wait_until(lambda: checkpoint(bucket) > 0, 120)
    first.kill()
    see_the_disk()
    left = checkpoint(bucket)
    second = pods.start(*train)
    wait_until(lambda: checkpoint(bucket) > left, 120)
    pods.outage()
    assert "continued from step" in pods.finish(second)
    assert checkpoint(bucket) == 0

    pods.run("export_onnx", RUN, at / "model", at / "cases", at / "exported")
    evaluations = []
    for backend in ("pytorch", "onnxruntime"):
        evaluations.append(at / backend)
        pods.run("evaluate", RUN, backend, at / "exported", at / "manifest", at / backend, "cpu")
    again = pods.run("preprocess", RUN, STORE, at / "manifest", at / "plan", at / "cases2")
    assert f"0 cases computed, {CASES} reused" in again
    pods.run("report", RUN, at / "page.html")

    assert_sound(bucket, server, at)
    run = bucket / "runs/one"
    summary = json.loads((run / "summary.json").read_text())
    assert {stage["name"]: stage["status"] for stage in summary["stages"]} == dict.fromkeys(
        [
            "download",
            "plan",
            "preprocess",
            "train",
            "export_onnx",
            "evaluate_pytorch",
            "evaluate_onnxruntime",
        ],
        "succeeded",
    )
    assert (run / "report.html").read_bytes() == (at / "page.html").read_bytes()
    assert b'class="panels"' in (run / "report.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("pod-")) == ["pod-5"]


def assert_sound(bucket: Path, server: S3Server, artifacts: Path) -> None:
    """Whatever was stored while the server died holds every byte that it should."""
    depot = Access(server.settings, artifacts.parent / "check").depot("s3://pods/store")
    assert not list(damaged(depot))
    raw = list((bucket / "store/files").iterdir())
    assert len(raw) == 2 * CASES
    assert all(sha256_of_file(path) == path.name for path in raw)
    run = bucket / "runs/one"
    published = {"model": "exported", "predictions/pytorch": "pytorch", "plan.json": "plan"}
    for name, made in published.items():
        assert contents(run / name) == contents(artifacts / made)


def contents(place: Path) -> dict[str, str]:
    files = [path for path in [place, *place.rglob("*")] if path.is_file()]
    return {path.relative_to(place).as_posix(): sha256_of_file(path) for path in files}
