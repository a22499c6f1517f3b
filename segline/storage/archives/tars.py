"""The members of a tar, plain or compressed by gzip, bzip2 or xz.

:mod:`tarfile` decodes the headers but does not walk them: it reads a long name or a PAX header whole, however
long, follows negative sizes back to where they came from, calls itself once for each header of a chain, and
takes a cut between two members for the end.
"""

import bz2
import gzip
import io
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from segline.storage.archives.members import CHUNK_BYTES, Kind, Member, RefusedError
from segline.storage.archives.xz import XzReader

_GZIP_MAGIC = b"\x1f\x8b"
_BZIP2_MAGIC = re.compile(rb"BZh[1-9]1AY&SY")
_XZ_MAGIC = b"\xfd7zXZ\0"
_BLOCK_BYTES = 512
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE)
_LARGEST_EXTENSION_BYTES = 1 << 20
"""Of one header that extends the next; an extended attribute of Linux takes up to 64 KiB."""
_MOST_EXTENSION_BYTES = 128 << 20
"""Of all such headers together."""
_LONGEST_TAIL_BYTES = 64 << 20
"""Behind the end mark; the zeros that fill the last record of a tape take less than 1."""
_RECORD = re.compile(rb"(\d{1,7}) ([^=]+)=")
_SPARSE = "GNU.sparse."

_Extended = dict[str, str]


@contextmanager
def opened_tar(path: Path) -> Iterator[Iterator[Member]]:
    """The members of a tar in their order, up to the end mark and the checksum behind it.

    Raises while they are read:
        RefusedError: headers that take more memory or time than those of honest files.
        tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError: no tar, cut or damaged.
    """
    with _decompressed(path) as stream:
        yield _members(stream)


def _decompressed(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        magic = stream.read(10)
    if magic.startswith(_GZIP_MAGIC):
        return cast(BinaryIO, gzip.open(path))
    if _BZIP2_MAGIC.match(magic):
        return cast(BinaryIO, bz2.open(path))
    if magic.startswith(_XZ_MAGIC):
        return cast(BinaryIO, io.BufferedReader(XzReader(path)))
    return path.open("rb")


def _members(stream: BinaryIO) -> Iterator[Member]:
    of_all: _Extended = {}
    of_next: _Extended = {}
    extension_bytes = 0
    while (header := _header(stream)) is not None:
        if header.type in _PAX or header.type in _LONG_NAMES:
            extension_bytes += _BLOCK_BYTES + header.size
            _require_small(header, extension_bytes)
            extended = _extended(header, _padded(stream, header.size))
            if header.type == tarfile.XGLTYPE:
                of_all |= extended
            else:
                of_next = extended | of_next
            continue
        start = stream.tell()
        member = _member(header, of_all | of_next, partial(_chunks, stream, start))
        yield member
        of_next = {}
        if member.kind is Kind.FILE and member.size_bytes:
            _skip_to(stream, start + _whole_blocks(member.size_bytes))
    _read_tail(stream)


def _header(stream: BinaryIO) -> tarfile.TarInfo | None:
    block = stream.read(_BLOCK_BYTES)
    if not block:
        raise tarfile.ReadError("no end-of-archive mark")
    if block == bytes(_BLOCK_BYTES):
        return None
    return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")


def _require_small(header: tarfile.TarInfo, extension_bytes: int) -> None:
    if not 0 <= header.size <= _LARGEST_EXTENSION_BYTES:
        raise RefusedError(
            f"states a header of {header.size} bytes, {_LARGEST_EXTENSION_BYTES} are read at most; "
            "pack the files anew, without extended attributes"
        )
    if extension_bytes > _MOST_EXTENSION_BYTES:
        raise RefusedError(
            f"has more than {_MOST_EXTENSION_BYTES >> 20} MiB of headers; "
            "pack the files anew, without extended attributes"
        )


def _extended(header: tarfile.TarInfo, payload: bytes) -> _Extended:
    """What a header that extends the next says of its path, its size, and whether it is sparse."""
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": _text(payload.partition(b"\0")[0])}
    if header.type == tarfile.GNUTYPE_LONGLINK:
        return {}
    return {
        key: value
        for key, value in _pax_records(payload)
        if key in ("path", "size") or key.startswith(_SPARSE)
    }


def _pax_records(payload: bytes) -> Iterator[tuple[str, str]]:
    """The records of a PAX header, ``"%d %s=%s\\n" % (length, key, value)`` (POSIX.1-2008, pax)."""
    start = 0
    while record := _RECORD.match(payload, start):
        end = start + int(record[1])
        if not record.end() < end <= len(payload):
            break
        yield _text(record[2]), _text(payload[record.end() : end - 1])
        start = end
    if payload[start:].strip(b"\0"):
        raise tarfile.ReadError("invalid PAX header")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _member(header: tarfile.TarInfo, extended: _Extended, chunks: "partial[Iterator[bytes]]") -> Member:
    size_bytes = int(extended.get("size", header.size))
    kind = _kind(header, extended)
    return Member(extended.get("path", header.name), kind, size_bytes, partial(chunks, size_bytes))


def _kind(header: tarfile.TarInfo, extended: _Extended) -> Kind:
    if header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith(_SPARSE) for key in extended):
        return Kind.SPARSE
    if header.type == tarfile.DIRTYPE:
        return Kind.FOLDER
    if header.type in _LINKS:
        return Kind.LINK
    return Kind.FILE if header.type in _FILES else Kind.SPECIAL


def _chunks(stream: BinaryIO, start: int, size_bytes: int) -> Iterator[bytes]:
    stream.seek(start)
    left = size_bytes
    while left and (chunk := stream.read(min(left, CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk


def _padded(stream: BinaryIO, size_bytes: int) -> bytes:
    whole = _whole_blocks(size_bytes)
    content = stream.read(whole)
    if len(content) < whole:
        raise tarfile.ReadError("unexpected end of data")
    return content[:size_bytes]


def _skip_to(stream: BinaryIO, position: int) -> None:
    stream.seek(position - 1)
    if not stream.read(1):
        raise tarfile.ReadError("unexpected end of data")


def _read_tail(stream: BinaryIO) -> None:
    # gzip compares its checksum only when read to the end.
    for _ in range(_LONGEST_TAIL_BYTES // CHUNK_BYTES):
        if not stream.read(CHUNK_BYTES):
            return
    raise RefusedError(
        f"goes on for more than {_LONGEST_TAIL_BYTES >> 20} MiB behind its end mark; pack the files anew"
    )


def _whole_blocks(size_bytes: int) -> int:
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
