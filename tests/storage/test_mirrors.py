"""Data sets in an object store, mirrored from a real S3 server (rclone) on the loopback interface."""

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segline.common.errors import SeglineError
from segline.data.sources import fetch
from segline.storage.s3_settings import S3Settings
from segline.storage.store import open_store

from ..s3_server import SECRET_KEY, S3Server, free_port, see_the_disk

FILES = {"dataset.json": b"{}", "imagesTr/a.nii.gz": b"image" * 500, "labelsTr/a.nii.gz": b"label"}


@pytest.fixture
def settings(s3_server: S3Server) -> S3Settings:
    return replace(s3_server.settings, patience_s=0.3)


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[Path]:
    """A fresh bucket with a data set at ``sets/spleen``, which another tool has written."""
    folder = s3_server.bucket("bucket")
    for name, content in FILES.items():
        put(folder / "sets/spleen" / name, content)
    put(folder / "sets/spleen2/dataset.json", b"another")
    yield folder
    shutil.rmtree(folder)


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    see_the_disk()


def rot(path: Path) -> None:
    """Change a byte as a failing disk does: nothing but a checksum tells."""
    before = path.stat()
    path.write_bytes(b"~" + path.read_bytes()[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    see_the_disk()


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
    see_the_disk()
    changed = files_of(fetch(uri, tmp_path, settings))
    assert changed == {"dataset.json": b"{}", "imagesTr/a.nii.gz": b"eGami" * 500}


def test_an_archive_is_unpacked(bucket: Path, settings: S3Settings, tmp_path: Path) -> None:
    with tarfile.open(bucket / "spleen.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("Task09_Spleen/dataset.json")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"{}"))
    see_the_disk()
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
    assert "after 0.3 s of trying ([Errno 111] Connection refused)" in refusal(
        "s3://bucket/sets", tmp_path, nowhere
    )


def test_an_endpoint_that_cannot_be_is_told(settings: S3Settings, tmp_path: Path) -> None:
    assert "no host" in refusal("s3://bucket/sets", tmp_path, replace(settings, endpoint="no host"))


def test_missing_credentials_are_told(tmp_path: Path) -> None:
    assert "set S3_ENDPOINT, AWS_ACCESS_KEY_ID and" in refusal("s3://bucket/sets", tmp_path, None)


def test_a_stored_folder_is_mirrored_without_its_marker(
    bucket: Path, settings: S3Settings, tmp_path: Path
) -> None:
    open_store("s3://bucket", settings).put_folder(bucket / "sets/spleen", "stored")
    assert files_of(fetch("s3://bucket/stored", tmp_path, settings)) == FILES


def test_a_mirror_that_is_cut_short_is_no_data_set_and_goes_on(
    bucket: Path, settings: S3Settings, tmp_path: Path
) -> None:
    put(bucket / "sets/spleen/imagesTr/b.nii.gz", b"rotten")
    open_store("s3://bucket", settings).put_file(bucket / "sets/spleen2/dataset.json", "sets/spleen/z")
    rot(bucket / "sets/spleen/z")
    with pytest.raises(SeglineError, match="z: damaged"):
        fetch("s3://bucket/sets/spleen", tmp_path, settings)
    (folder,) = (tmp_path / "datasets").iterdir()
    assert not (folder / "dataset.json").exists()
    before = (folder / "imagesTr/a.nii.gz").stat().st_mtime_ns
    (bucket / "sets/spleen/z").unlink()
    see_the_disk()
    fetch("s3://bucket/sets/spleen", tmp_path, settings)
    assert (folder / "dataset.json").exists()
    assert (folder / "imagesTr/a.nii.gz").stat().st_mtime_ns == before
