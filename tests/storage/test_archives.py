"""What unpacking a tar file does, and what it refuses."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.storage.archives import archive_stem, unpack

FILES = {"Task09_Spleen/dataset.json": b"{}", "Task09_Spleen/imagesTr/a.nii.gz": os.urandom(30_000)}


def write_tar(path: Path, files: dict[str, bytes], extra: tarfile.TarInfo | None = None) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        if extra is not None:
            tar.addfile(extra)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


def assert_refused(archive: Path, *words: str) -> None:
    folder = archive.parent / "out" / "folder"
    with pytest.raises(SeglineError) as caught:
        unpack(archive, folder)
    assert "\n" not in str(caught.value)
    for word in (str(archive), *words):
        assert word in str(caught.value)
    assert list(archive.parent.glob("out/*")) == []


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz"])
def test_a_single_top_folder_is_left_out(tmp_path: Path, name: str) -> None:
    unpack(write_tar(tmp_path / name, FILES), tmp_path / "folder")
    assert (tmp_path / "folder/dataset.json").read_bytes() == b"{}"
    assert (tmp_path / "folder/imagesTr/a.nii.gz").read_bytes() == FILES["Task09_Spleen/imagesTr/a.nii.gz"]


def test_several_top_folders_stay(tmp_path: Path) -> None:
    unpack(write_tar(tmp_path / "a.tar", {"imagesTr/a": b"1", "./labelsTr/a": b"2"}), tmp_path / "folder")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["imagesTr", "labelsTr"]


def test_resource_forks_of_macos_are_ignored(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {"._Task09_Spleen": b"x", **FILES, "Task09_Spleen/._a": b"x"})
    unpack(archive, tmp_path / "folder")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["dataset.json", "imagesTr"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil"])
def test_a_member_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    assert_refused(write_tar(tmp_path / "a.tar", {**FILES, name: b"evil"}), name, "leads out of the folder")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("kind", "target"),
    [(tarfile.SYMTYPE, "../../evil"), (tarfile.SYMTYPE, "dataset.json"), (tarfile.LNKTYPE, "/etc/passwd")],
)
def test_a_link_is_refused(tmp_path: Path, kind: bytes, target: str) -> None:
    assert_refused(write_tar(tmp_path / "a.tar", FILES, special("Task09_Spleen/x", kind, target)), "link")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_device_is_refused(tmp_path: Path, kind: bytes) -> None:
    assert_refused(write_tar(tmp_path / "a.tar", FILES, special("Task09_Spleen/x", kind)), "device")


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
def test_a_truncated_archive_is_refused(tmp_path: Path, name: str, share: float) -> None:
    archive = write_tar(tmp_path / name, FILES)
    os.truncate(archive, int(share * archive.stat().st_size))
    assert_refused(archive, "truncated or damaged")


def test_an_archive_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", FILES)
    with tarfile.open(archive) as tar:
        start_of_second = tar.getmembers()[1].offset
    os.truncate(archive, start_of_second)
    assert_refused(archive, "truncated or damaged")


def test_a_gzip_checksum_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar.gz", FILES)
    content = bytearray(archive.read_bytes())
    content[-8] ^= 0xFF
    archive.write_bytes(content)
    assert_refused(archive, "truncated or damaged")


@pytest.mark.parametrize("content", [b"", b"this is no archive" * 100])
def test_what_is_not_a_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    assert_refused(tmp_path / "a.tar", "truncated or damaged")


def test_an_archive_without_a_file_is_refused(tmp_path: Path) -> None:
    assert_refused(write_tar(tmp_path / "a.tar", {}, special("folder", tarfile.DIRTYPE)), "no file")


def test_an_archive_larger_than_the_disk_is_refused(tmp_path: Path) -> None:
    sparse = tarfile.TarInfo("huge")
    sparse.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(10**18)}
    assert_refused(write_tar(tmp_path / "a.tar", {}, sparse), "1000000000.0 GB", "disk space")


def test_a_name_that_is_both_file_and_folder_is_refused(tmp_path: Path) -> None:
    assert_refused(write_tar(tmp_path / "a.tar", {"a": b"", "a/b": b""}), "cannot write 'a/b'")


def test_a_missing_archive_is_told(tmp_path: Path) -> None:
    assert_refused(tmp_path / "a.tar", "no such archive")


def test_a_folder_with_content_is_not_touched(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", FILES)
    unpack(archive, tmp_path / "folder")
    with pytest.raises(SeglineError, match="not empty"):
        unpack(archive, tmp_path / "folder")


def test_only_tar_names_are_archive_names() -> None:
    assert archive_stem("b.tar.gz") == archive_stem("b.tgz") == archive_stem("b.tar") == "b"
    assert archive_stem("b.nii.gz") is None
