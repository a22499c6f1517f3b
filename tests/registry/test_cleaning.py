"""Cleaning a bucket: age alone never takes what a registered model needs."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from segline.cli.main import main
from segline.data.manifest import Manifest
from segline.registry.cleaning import clean, leftovers
from segline.registry.registering import register
from segline.storage.access import Access
from segline.storage.s3_settings import S3Settings
from segline.tracking.mlflow_connection import Registry
from segline.tracking.mlflow_settings import local_uri

from ..mlflow_runs import Runs, refusal
from ..s3_server import ACCESS_KEY, SECRET_KEY, S3Server, free_port, see_the_disk

BUCKET = "s3://cleaned"
AGE = timedelta(days=90)
DAY_S = 86_400


@dataclass(frozen=True)
class Bucket:
    """A bucket whose objects are as old as the test wants."""

    disk: Path
    settings: S3Settings
    access: Access

    def put(self, key: str, text: str = "x", days_ago: float = 100) -> None:
        path = self.disk / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written = time.time() - days_ago * DAY_S
        os.utime(path, (written, written))
        see_the_disk()

    def keys(self) -> set[str]:
        see_the_disk()
        return {path.relative_to(self.disk).as_posix() for path in self.disk.rglob("*") if path.is_file()}


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path) -> Iterator[Bucket]:
    with s3_server.lent("cleaned") as disk:
        yield Bucket(disk, s3_server.settings, Access(s3_server.settings, tmp_path / "scratch", BUCKET))


@pytest.fixture
def own(tmp_path: Path) -> Registry:
    """A registry that no other test registers in."""
    return Registry(local_uri(tmp_path / "registry"))


def written(manifest: Manifest, folder: Path) -> str:
    """A manifest as stages write it."""
    path = folder / "manifest.json"
    manifest.write(path)
    text = path.read_text()
    path.unlink()
    return text


def filled(bucket: Bucket, phantoms: Manifest) -> None:
    """Two runs that are old, one of them registered; one that is young; and what they use and have left."""
    for run in ("run-kept", "run-old"):
        bucket.put(f"runs/{run}/run.json")
        bucket.put(f"runs/{run}/stages/train.json")
    bucket.put("runs/run-young/run.json")
    bucket.put("runs/run-young/stages/train.json", days_ago=2)
    bucket.put(f"store/manifests/{phantoms.digest}.json", written(phantoms, bucket.disk.parent))
    for case in phantoms.cases[:2]:
        for file in case.files:
            bucket.put(f"store/files/{file.sha256}")
    few = phantoms.model_copy(update={"cases": phantoms.cases[:1]})
    bucket.put(f"store/manifests/{few.digest}.json", written(few, bucket.disk.parent))
    bucket.put("store/files/nobodys")
    bucket.put("store/files/new", days_ago=1)
    bucket.put("store/checkpoints/given-up.pt")
    bucket.put("store/checkpoints/going-on.pt", days_ago=0)
    bucket.put("pipelines/segline/old/model.pt")
    bucket.put("pipelines/segline/new/model.pt", days_ago=3)


def test_what_a_registered_model_needs_stays(
    bucket: Bucket, runs: Runs, own: Registry, phantoms: Manifest
) -> None:
    filled(bucket, phantoms)
    before = bucket.keys()
    register(runs.make("run-kept"), own)
    found = leftovers(BUCKET, own, bucket.access, AGE)
    assert bucket.keys() == before
    clean(BUCKET, found, bucket.access, AGE)
    few = phantoms.model_copy(update={"cases": phantoms.cases[:1]})
    assert before - bucket.keys() == {
        "runs/run-old/run.json",
        "runs/run-old/stages/train.json",
        f"store/manifests/{few.digest}.json",
        "store/files/nobodys",
        "store/checkpoints/given-up.pt",
        "pipelines/segline/old/model.pt",
    }


def test_without_a_registered_model_all_that_is_old_goes(
    bucket: Bucket, own: Registry, phantoms: Manifest
) -> None:
    filled(bucket, phantoms)
    clean(BUCKET, leftovers(BUCKET, own, bucket.access, AGE), bucket.access, AGE)
    assert bucket.keys() == {
        "runs/run-young/run.json",
        "runs/run-young/stages/train.json",
        "store/files/new",
        "store/checkpoints/going-on.pt",
        "pipelines/segline/new/model.pt",
    }


def test_where_the_registry_is_away_nothing_goes(bucket: Bucket, phantoms: Manifest) -> None:
    filled(bucket, phantoms)
    before, away = bucket.keys(), Registry(f"http://127.0.0.1:{free_port()}")
    assert "no MLflow server answers" in refusal(lambda: leftovers(BUCKET, away, bucket.access, AGE))
    assert bucket.keys() == before


@pytest.mark.parametrize(
    ("place", "age", "line"),
    [
        ("store", AGE, "'store': not a bucket; give s3://bucket, or set SEGLINE_BUCKET"),
        (BUCKET, timedelta(hours=1), "unused for less than a day"),
    ],
)
def test_a_folder_or_too_little_time_is_refused(
    bucket: Bucket, own: Registry, place: str, age: timedelta, line: str
) -> None:
    assert refusal(lambda: leftovers(place, own, bucket.access, age)).startswith(line)


def test_the_command_says_what_it_would_remove_and_what_it_did(
    bucket: Bucket, own: Registry, phantoms: Manifest, monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path
) -> None:
    filled(bucket, phantoms)
    before = bucket.keys()
    monkeypatch.setenv("S3_ENDPOINT", f"http://{bucket.settings.endpoint}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("SEGLINE_BUCKET", BUCKET)
    monkeypatch.setenv("SEGLINE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own.uri)
    told = "2 runs, 0 cases, 5 files of data sets, 3 manifests and checkpoints, 1 artifacts"
    assert main(["cleanup", "--dry-run"]) == 0
    assert capsys.readouterr().out == f"{BUCKET}: would be removed: {told}\n"
    assert bucket.keys() == before
    assert main(["cleanup"]) == 0
    assert capsys.readouterr().out == f"{BUCKET}: removed: {told}\n"
    assert main(["cleanup", "--bucket", BUCKET]) == 0
    assert capsys.readouterr().out.startswith(f"{BUCKET}: removed: 0 runs, 0 cases")
