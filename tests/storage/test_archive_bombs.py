"""Small archives that state or unpack to far more: refused before time, memory or disk is taken."""

import binascii
import gzip
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.common.limits import VARIABLE
from segline.storage.archives import unpack

_MEMORY_BYTES = 100 << 20
"""A third of it is taken by Python itself."""
_END = bytes(1024)
_UNPACK_IN_BOUNDED_MEMORY = f"""
import resource, sys
from pathlib import Path
from segline.storage.archives import unpack
resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY_BYTES}, {_MEMORY_BYTES}))
unpack(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def header(name: str, size_bytes: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    member.type = kind
    return member.tobuf(tarfile.GNU_FORMAT)


def file(name: str, content: bytes) -> bytes:
    return header(name, len(content)) + padded(content)


def pax(**records: str) -> bytes:
    """A PAX header for the next member; ``_`` of a key stands for ``.``."""
    lines = b""
    for key, value in records.items():
        rest = f" {key.replace('_', '.')}={value}\n".encode()
        lines += b"%d" % (len(rest) + len(str(len(rest) + 2))) + rest
    return header("pax", len(lines), tarfile.XHDTYPE) + padded(lines)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def written(path: Path, *parts: bytes) -> Path:
    content = b"".join(parts)
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def refusal(archive: Path) -> str:
    """The one line that unpacking gives, which leaves nothing behind."""
    with pytest.raises(SeglineError) as caught:
        unpack(archive, archive.parent / "out" / "folder")
    assert list(archive.parent.glob("out/*")) == []
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{archive}: ")


def refusal_in_bounded_memory(archive: Path) -> str:
    command = [sys.executable, "-c", _UNPACK_IN_BOUNDED_MEMORY, archive, archive.parent / "out" / "folder"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert list(archive.parent.glob("out/*")) == []
    last = run.stderr.splitlines()[-1]
    return last.removeprefix(f"segline.common.errors.SeglineError: {archive}: ")


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("size_gb", [50, 200])
def test_a_member_larger_than_a_file_may_be_is_not_skipped_but_refused(
    tmp_path: Path, name: str, size_gb: int
) -> None:
    archive = written(tmp_path / name, header("Task/x", size_gb * 10**9), bytes(10_000))
    told = f"'Task/x' would take {size_gb} GB, more than the 4 GB that are allowed"
    assert refusal(archive) == f"{told}; if that is meant, set {VARIABLE}"


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_members_that_together_exceed_the_free_disk_end_the_scan(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "1e9")
    archive = written(tmp_path / name, file("a", b"1"), header("b", 10**15), bytes(10_000))
    assert refusal(archive).startswith("unpacks to 1000000.0 GB or more, ")
    assert refusal(archive).endswith("free some disk space")


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_negative_size_is_refused(tmp_path: Path, name: str) -> None:
    archive = written(tmp_path / name, file("a", b"1"), header("b", -1024), _END)
    assert "'b' states a size of -1024 bytes" in refusal(archive)


@pytest.mark.parametrize("size", ["-1024", "-1"])
def test_a_negative_size_of_pax_is_refused(tmp_path: Path, size: str) -> None:
    archive = written(tmp_path / "a.tar", file("a", b"1"), pax(size=size), file("b", b"1"), _END)
    assert f"'b' states a size of {size} bytes" in refusal(archive)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_negative_size_is_refused(tmp_path: Path, kind: bytes) -> None:
    archive = written(tmp_path / "a.tar", header("x", -512, kind), file("b", b"1"), _END)
    assert "states a header of -512 bytes" in refusal(archive)


@pytest.mark.parametrize("size", ["x", "1" * 5000, ""])
def test_a_size_of_pax_that_is_no_number_is_refused(tmp_path: Path, size: str) -> None:
    record = b" size=" + size.encode() + b"\n"
    digits = len(str(len(record)))
    lines = b"%d" % (len(record) + digits) + record
    archive = written(
        tmp_path / "a.tar",
        header("pax", len(lines), tarfile.XHDTYPE),
        padded(lines),
        file("b", b"1"),
        _END,
    )
    assert refusal(archive).startswith("truncated or damaged")


def test_a_sparse_file_of_gnu_is_refused(tmp_path: Path) -> None:
    archive = written(tmp_path / "a.tar", header("Task/x", 512, tarfile.GNUTYPE_SPARSE), bytes(512), _END)
    assert refusal(archive) == "'Task/x' is a sparse file; only plain files are unpacked"


@pytest.mark.parametrize(
    "records",
    [
        {"GNU_sparse_map": "0,512", "GNU_sparse_size": str(21 * 10**9)},
        {"GNU_sparse_size": str(21 * 10**9), "GNU_sparse_numblocks": "1"},
        {"GNU_sparse_major": "1", "GNU_sparse_minor": "0", "GNU_sparse_realsize": str(21 * 10**9)},
    ],
)
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_sparse_file_of_pax_is_refused(tmp_path: Path, records: dict[str, str], kind: bytes) -> None:
    extension = bytearray(pax(**records))
    extension[:512] = header("pax", tarfile.TarInfo.frombuf(extension[:512], "utf-8", "strict").size, kind)
    archive = written(tmp_path / "a.tar.gz", bytes(extension), file("Task/x", bytes(512)), _END)
    assert refusal(archive) == "'Task/x' is a sparse file; only plain files are unpacked"


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    ],
)
def test_a_header_of_gigabytes_is_not_read(tmp_path: Path, kind: bytes) -> None:
    archive = written(tmp_path / "a.tar", header("x", 8 << 30, kind))
    os.truncate(archive, 9 << 30)
    assert "states a header of 8589934592 bytes" in refusal_in_bounded_memory(archive)


def test_headers_of_a_megabyte_that_follow_each_other_are_not_all_read(tmp_path: Path) -> None:
    long_name = header("x", 1 << 20, tarfile.GNUTYPE_LONGNAME) + bytes(1 << 20)
    archive = written(tmp_path / "a.tar.gz", *([long_name] * 130), file("a", b"1"), _END)
    assert "more than 128 MiB of headers" in refusal_in_bounded_memory(archive)


def test_headers_that_follow_each_other_without_end_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segline.storage.archives.tars._MOST_EXTENSION_BYTES", 1 << 20)
    archive = written(tmp_path / "a.tar.gz", header("x", 0, tarfile.XGLTYPE) * 2100)
    assert "more than 1 MiB of headers" in refusal(archive)


def test_a_chain_of_headers_is_followed(tmp_path: Path) -> None:
    archive = written(tmp_path / "a.tar", header("x", 0, tarfile.XGLTYPE) * 2000, file("a", b"1"), _END)
    unpack(archive, tmp_path / "folder")
    assert (tmp_path / "folder/a").read_bytes() == b"1"


def test_what_goes_on_behind_the_end_is_not_read_for_ever(tmp_path: Path) -> None:
    archive = written(tmp_path / "a.tar", file("a", b"1"), _END)
    os.truncate(archive, 1 << 40)
    assert "goes on for more than 64 MiB behind its end mark" in refusal(archive)


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_more_members_than_a_data_set_has_are_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segline.storage.archives.unpacking.MOST_MEMBERS", 3)
    archive = tmp_path / name
    if name.endswith("tar"):
        written(archive, *[header(f"{number}", 0, tarfile.DIRTYPE) for number in range(4)], _END)
    else:
        with zipfile.ZipFile(archive, "w") as opened:
            for number in range(4):
                opened.writestr(f"{number}/", b"")
    assert refusal(archive).startswith("holds more than 3 files")


@pytest.mark.parametrize(
    ("entries", "name_bytes", "told"),
    [(150_000, 4, "holds more than 100000 files"), (3000, 20_000, "has a directory of 60 MB")],
)
def test_the_directory_of_a_zip_takes_no_more_memory_than_files_that_are_taken(
    tmp_path: Path, entries: int, name_bytes: int, told: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr("n" * name_bytes, b"")
    content = (tmp_path / "a.zip").read_bytes()
    start = content.index(b"PK\x01\x02")
    directory = content[start:-22] * entries
    end = content[-22:-10] + len(directory).to_bytes(4, "little") + content[-6:]
    (tmp_path / "a.zip").write_bytes(content[:start] + directory + end)
    assert refusal_in_bounded_memory(tmp_path / "a.zip").startswith(told)


def with_stated_size(path: Path, size_bytes: int, checksum: int) -> Path:
    """A zip whose one member holds 200 MB of zeros and states another size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as opened:
        opened.writestr("Task/x", bytes(200_000_000))
    content = bytearray(path.read_bytes())
    for start, field in ((content.index(b"PK\x01\x02"), 16), (0, 14)):
        content[start + field : start + field + 4] = checksum.to_bytes(4, "little")
        content[start + field + 8 : start + field + 12] = size_bytes.to_bytes(4, "little")
    path.write_bytes(content)
    return path


def test_a_member_of_a_zip_is_written_no_further_than_its_stated_size(tmp_path: Path) -> None:
    archive = with_stated_size(tmp_path / "a.zip", 1000, zlib.crc32(bytes(1000)))
    unpack(archive, tmp_path / "folder")
    assert (tmp_path / "folder/x").stat().st_size == 1000


def test_a_member_of_a_zip_that_unpacks_to_more_than_stated_is_refused(tmp_path: Path) -> None:
    archive = with_stated_size(tmp_path / "a.zip", 1000, zlib.crc32(bytes(200_000_000)))
    assert "Bad CRC-32" in refusal_in_bounded_memory(archive)


def test_a_member_of_a_zip_that_unpacks_to_less_than_stated_is_refused(tmp_path: Path) -> None:
    archive = with_stated_size(tmp_path / "a.zip", 300_000_000, zlib.crc32(bytes(200_000_000)))
    assert "'Task/x' ends 100000000 bytes early" in refusal(archive)


def test_a_zip_that_states_more_than_a_file_may_be_is_refused(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "a.zip", "w") as opened,
        opened.open("x", "w", force_zip64=True) as member,
    ):
        member.write(b"1")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    start = content.index(b"PK\x01\x02")
    content[start + 24 : start + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    assert "'x' would take 4.295 GB" in refusal(tmp_path / "a.zip")


def xz_with_dictionary_of_4_gib(content: bytes) -> bytes:
    packed = bytearray(lzma.compress(content, check=lzma.CHECK_CRC32))
    start, end = 12, 12 + (packed[12] + 1) * 4
    filter_id = packed.index(b"\x21\x01", start, end)
    packed[filter_id + 2] = 40  # the largest that the format knows
    packed[end - 4 : end] = binascii.crc32(packed[start : end - 4]).to_bytes(4, "little")
    return bytes(packed)


def test_an_xz_that_asks_for_gigabytes_of_memory_is_refused(tmp_path: Path) -> None:
    packed = xz_with_dictionary_of_4_gib(file("a", b"1") + _END)
    (tmp_path / "a.tar.xz").write_bytes(packed)
    assert "Memory usage limit exceeded" in refusal(tmp_path / "a.tar.xz")


@pytest.mark.parametrize(
    "compress", [bytes, partial(gzip.compress, compresslevel=1), partial(lzma.compress, preset=0)]
)
def test_a_file_larger_than_the_memory_is_unpacked(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "a.tar").write_bytes(compress(file("a", bytes(_MEMORY_BYTES)) + _END))
    command = [sys.executable, "-c", _UNPACK_IN_BOUNDED_MEMORY, tmp_path / "a.tar", tmp_path / "folder"]
    subprocess.run(command, check=True)
    assert (tmp_path / "folder/a").stat().st_size == _MEMORY_BYTES
