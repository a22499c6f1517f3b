"""What unpacking an archive does, and what it refuses."""

import io
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.storage.archives import SUFFIXES, archive_stem, unpack

FILES = {"Task09_Spleen/dataset.json": b"{}", "Task09_Spleen/imagesTr/a.nii.gz": os.urandom(30_000)}

NAMES = ["a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.txz", "a.tar.bz2", "a.tbz2", "a.zip", "A.TAR", "A.ZIP"]
FORMATS = ["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.zip"]
KINDS = ["a.tar", "a.zip"]


def write_tar(path: Path, files: dict[str, bytes], extra: tarfile.TarInfo | None = None) -> Path:
    compression = next((name for name in ("gz", "xz", "bz2") if path.name.lower().endswith(name)), "")
    with tarfile.open(path, f"w:{compression}") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        if extra is not None:
            tar.addfile(extra)
    return path


def write_zip(path: Path, files: dict[str, bytes], *extra: tuple[zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for member, content in extra:
            archive.writestr(member, content)
    return path


def write(path: Path, files: dict[str, bytes]) -> Path:
    return write_zip(path, files) if path.suffix.lower() == ".zip" else write_tar(path, files)


def of_unix(name: str, mode: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = mode << 16
    return member


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


def assert_refused(archive: Path, *words: str) -> str:
    folder = archive.parent / "out" / "folder"
    with pytest.raises(SeglineError) as caught:
        unpack(archive, folder)
    assert "\n" not in str(caught.value)
    for word in (str(archive), *words):
        assert word in str(caught.value)
    assert list(archive.parent.glob("out/*")) == []
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_single_top_folder_is_left_out(tmp_path: Path, name: str) -> None:
    unpack(write(tmp_path / name, FILES), tmp_path / "folder")
    assert (tmp_path / "folder/dataset.json").read_bytes() == b"{}"
    assert (tmp_path / "folder/imagesTr/a.nii.gz").read_bytes() == FILES["Task09_Spleen/imagesTr/a.nii.gz"]


@pytest.mark.parametrize("name", FORMATS)
def test_the_content_tells_the_format_whatever_the_name_says(tmp_path: Path, name: str) -> None:
    for other in FORMATS:
        shutil.move(write(tmp_path / name, FILES), tmp_path / f"is-{other}")
        unpack(tmp_path / f"is-{other}", tmp_path / f"of-{other}")
        assert files_below(tmp_path / f"of-{other}") == ["dataset.json", "imagesTr/a.nii.gz"]


def test_a_tar_whose_first_name_begins_as_bzip2_does_is_a_tar(tmp_path: Path) -> None:
    unpack(write_tar(tmp_path / "a.tar", {"BZh9/dataset.json": b"{}"}), tmp_path / "folder")
    assert files_below(tmp_path / "folder") == ["dataset.json"]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("compression", ["", "gz", "xz", "bz2"])
def test_long_names_and_every_size_come_out_as_they_went_in(
    tmp_path: Path, form: int, compression: str
) -> None:
    long = "n" * 90 if form == tarfile.USTAR_FORMAT else "ä" * 100
    sizes = (0, 1, 511, 512, 513, 1_100_000)
    files = {f"Task/{long}/{size}": os.urandom(size) for size in sizes}
    with tarfile.open(tmp_path / "a.tar", f"w:{compression}", format=form) as tar:
        tar.addfile(special("Task", tarfile.DIRTYPE))
        for name, content in {**files, "Task/dataset.json": b"{}"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    unpack(tmp_path / "a.tar", tmp_path / "folder")
    assert {f"Task/{name}" for name in files_below(tmp_path / "folder")} == {*files, "Task/dataset.json"}
    for name, content in files.items():
        assert (tmp_path / "folder" / name.removeprefix("Task/")).read_bytes() == content


def test_xz_streams_that_follow_each_other_are_one(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "a.tar", FILES).read_bytes()
    half = len(whole) // 2
    parts = lzma.compress(whole[:half]) + bytes(8) + lzma.compress(whole[half:])
    (tmp_path / "a.tar.xz").write_bytes(parts)
    unpack(tmp_path / "a.tar.xz", tmp_path / "folder")
    assert (tmp_path / "folder/imagesTr/a.nii.gz").read_bytes() == FILES["Task09_Spleen/imagesTr/a.nii.gz"]


@pytest.mark.parametrize("name", KINDS)
def test_several_top_folders_stay(tmp_path: Path, name: str) -> None:
    unpack(write(tmp_path / name, {"imagesTr/a": b"1", "./labelsTr/a": b"2"}), tmp_path / "folder")
    assert files_below(tmp_path / "folder") == ["imagesTr/a", "labelsTr/a"]


@pytest.mark.parametrize("name", KINDS)
def test_without_dataset_json_a_single_top_folder_is_left_out_and_no_more(tmp_path: Path, name: str) -> None:
    unpack(write(tmp_path / name, {"a/b/1": b"1", "a/b/2": b"2"}), tmp_path / "folder")
    assert files_below(tmp_path / "folder") == ["b/1", "b/2"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "beside", ["README.txt", "notes/README.txt", "__MACOSX/dataset.json", "a/b/c/d/dataset.json"]
)
@pytest.mark.parametrize("above", ["", "data/", "data/msd/"])
def test_the_folder_with_dataset_json_is_taken_and_nothing_beside_it(
    tmp_path: Path, name: str, beside: str, above: str
) -> None:
    files = {f"{above}{path}": content for path, content in FILES.items()}
    unpack(write(tmp_path / name, {beside: b"x", **files}), tmp_path / "folder")
    assert files_below(tmp_path / "folder") == ["dataset.json", "imagesTr/a.nii.gz"]


@pytest.mark.parametrize("name", KINDS)
def test_the_shallowest_dataset_json_decides(tmp_path: Path, name: str) -> None:
    unpack(write(tmp_path / name, {"Task09_Spleen/old/dataset.json": b"", **FILES}), tmp_path / "folder")
    assert files_below(tmp_path / "folder") == ["dataset.json", "imagesTr/a.nii.gz", "old/dataset.json"]


@pytest.mark.parametrize("name", KINDS)
def test_two_data_sets_at_one_depth_are_both_named(tmp_path: Path, name: str) -> None:
    archive = write(tmp_path / name, {**FILES, "Task10_Colon/dataset.json": b"{}"})
    assert_refused(archive, "more than one data set", "'Task09_Spleen' and 'Task10_Colon'", "unpack it")


@pytest.mark.parametrize("name", KINDS)
def test_resource_forks_of_macos_are_ignored(tmp_path: Path, name: str) -> None:
    archive = write(tmp_path / name, {"._Task09_Spleen": b"x", **FILES, "Task09_Spleen/._a": b"x"})
    unpack(archive, tmp_path / "folder")
    assert files_below(tmp_path / "folder") == ["dataset.json", "imagesTr/a.nii.gz"]


def test_folders_of_windows_are_folders(tmp_path: Path) -> None:
    unpack(
        write_zip(tmp_path / "a.zip", {"Task\\dataset.json": b"{}", "Task\\a\\b": b"1"}), tmp_path / "folder"
    )
    assert files_below(tmp_path / "folder") == ["a/b", "dataset.json"]


@pytest.mark.parametrize("archive", KINDS)
@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "a\\..\\..\\evil", "\\evil", "C:\\evil"]
)
def test_a_member_outside_the_folder_is_refused(tmp_path: Path, archive: str, name: str) -> None:
    assert_refused(write(tmp_path / archive, {**FILES, name: b"evil"}), "evil'", "leads out of the folder")
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


@pytest.mark.parametrize(
    ("mode", "word"), [(stat.S_IFLNK, "link"), (stat.S_IFIFO, "device"), (stat.S_IFCHR, "device")]
)
def test_a_link_or_device_in_a_zip_is_refused(tmp_path: Path, mode: int, word: str) -> None:
    member = of_unix("Task09_Spleen/x", mode | 0o777)
    assert_refused(write_zip(tmp_path / "a.zip", FILES, (member, b"/etc/passwd")), "Task09_Spleen/x", word)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", FILES)
    content = bytearray(archive.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 8] |= 1
    archive.write_bytes(content)
    assert_refused(archive, "'Task09_Spleen/dataset.json' is a file encrypted with a password")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_unpacks_without_bounds_is_refused(tmp_path: Path, method: int) -> None:
    member = zipfile.ZipInfo("Task09_Spleen/x")
    member.compress_type = method
    assert_refused(write_zip(tmp_path / "a.zip", FILES, (member, b"1")), "another way than deflate")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
def test_a_truncated_archive_is_refused(tmp_path: Path, name: str, share: float) -> None:
    archive = write(tmp_path / name, FILES)
    os.truncate(archive, int(share * archive.stat().st_size))
    assert_refused(archive, "truncated or damaged")


def test_an_archive_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", FILES)
    with tarfile.open(archive) as tar:
        start_of_second = tar.getmembers()[1].offset
    os.truncate(archive, start_of_second)
    assert_refused(archive, "truncated or damaged")


@pytest.mark.parametrize(("name", "place"), [("a.tar.gz", -8), ("a.tar.xz", -30), ("a.tar.bz2", -200)])
def test_a_checksum_that_does_not_fit_is_refused(tmp_path: Path, name: str, place: int) -> None:
    archive = write_tar(tmp_path / name, FILES)
    content = bytearray(archive.read_bytes())
    content[place] ^= 0xFF
    archive.write_bytes(content)
    assert_refused(archive, "truncated or damaged")


def test_a_damaged_member_of_a_zip_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", FILES)
    content = bytearray(archive.read_bytes())
    content[20_000] ^= 0xFF
    archive.write_bytes(content)
    assert_refused(archive, "truncated or damaged", "imagesTr/a.nii.gz")


@pytest.mark.parametrize("content", [b"", b"this is no archive" * 100, b"PK\x03\x04" + bytes(100)])
@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_archive_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert_refused(tmp_path / name, "truncated or damaged")


def test_an_archive_without_a_file_is_refused(tmp_path: Path) -> None:
    assert_refused(write_tar(tmp_path / "a.tar", {}, special("folder", tarfile.DIRTYPE)), "no file")


@pytest.mark.parametrize("name", KINDS)
def test_a_name_that_is_both_file_and_folder_is_refused(tmp_path: Path, name: str) -> None:
    archive = write(tmp_path / name, {"a": b"", "a-b": b"", "a/b": b""})
    assert_refused(archive, "'a' is both a file and the folder of another")


@pytest.mark.parametrize("name", KINDS)
def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path, name: str) -> None:
    archive = write(tmp_path / name, {**FILES, "Task09_Spleen/A": b"1", "Task09_Spleen/a": b"2"})
    assert_refused(archive, "'A' and 'a' are one file where case does not count")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("write_files", [write_tar, write_zip])
def test_a_file_packed_twice_is_refused(tmp_path: Path, write_files: Callable[..., Path]) -> None:
    again = zipfile.ZipInfo("a/x"), b"1"
    extra = again if write_files is write_zip else tarfile.TarInfo("a/x")
    assert_refused(write_files(tmp_path / "a", {"a/x": b"1", "a/y": b"2"}, extra), "holds 'x' twice")


@pytest.mark.parametrize("archive", KINDS)
@pytest.mark.parametrize("name", ["n" * 256, "ä" * 128, "/".join(["n" * 100] * 11), "a/" * 40 + "b"])
def test_a_name_longer_than_file_systems_take_is_refused(tmp_path: Path, archive: str, name: str) -> None:
    told = assert_refused(write(tmp_path / archive, {**FILES, name: b""}), "longer or deeper", name[:40])
    assert len(told) < 400


def test_a_name_of_other_bytes_than_utf8_is_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {**FILES, "caf\udce9": b""})
    assert_refused(archive, "'caf\\udce9' is not UTF-8").encode()


def test_a_missing_archive_is_told(tmp_path: Path) -> None:
    assert_refused(tmp_path / "a.tar", "no such archive")


def test_a_folder_with_content_is_not_touched(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", FILES)
    unpack(archive, tmp_path / "folder")
    with pytest.raises(SeglineError, match="not empty"):
        unpack(archive, tmp_path / "folder")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_is_known_by_its_suffix_in_any_case(suffix: str) -> None:
    assert archive_stem(f"b.c{suffix}") == archive_stem(f"b.c{suffix.upper()}") == "b.c"


@pytest.mark.parametrize("name", ["b.nii.gz", "b.gz", "b.xz", "b.7z", "tar", "zip"])
def test_other_names_are_no_archives(name: str) -> None:
    assert archive_stem(name) is None
