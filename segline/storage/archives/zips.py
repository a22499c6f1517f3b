"""The members of a zip file."""

import io
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from segline.storage.archives.members import CHUNK_BYTES, MOST_MEMBERS, Kind, Member, RefusedError

MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip file begins, and one without a member."""

_ENCRYPTED = 0x1 | 0x40
_ENTRY = b"PK\x01\x02"
_LARGEST_DIRECTORY_BYTES = 32 << 20
# zipfile unpacks the other methods in chunks as large as they like.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def opened_zip(path: Path) -> Iterator[Iterator[Member]]:
    """The members of a zip file, in the order of its directory; nothing is read before the first.

    Raises while they are read:
        RefusedError: more members than are taken.
        zipfile.BadZipFile, EOFError, OSError, ValueError, struct.error, zlib.error, NotImplementedError: no
            zip, cut or damaged.
    """
    with _BoundedFile(path) as stream:
        yield _members(stream)


class _BoundedFile(io.FileIO):
    """A file whose directory is no larger than fits: :class:`zipfile.ZipFile` reads it at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LARGEST_DIRECTORY_BYTES:
            raise RefusedError(
                f"has a directory of {size / 1e6:.0f} MB, {_LARGEST_DIRECTORY_BYTES / 1e6:.0f} are read at "
                "most; give the archive of a Decathlon folder"
            )
        content = super().read(size)
        if len(content) > CHUNK_BYTES and content.count(_ENTRY) > MOST_MEMBERS:
            raise RefusedError(
                f"holds more than {MOST_MEMBERS} files; give the archive of a Decathlon folder"
            )
        return content


def _members(stream: _BoundedFile) -> Iterator[Member]:
    opened = zipfile.ZipFile(stream)
    for entry in opened.infolist():
        yield _member(opened, entry)


def _member(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Member:
    return Member(entry.filename, _kind(entry), entry.file_size, partial(_chunks, opened, entry))


def _kind(entry: zipfile.ZipInfo) -> Kind:
    mode = entry.external_attr >> 16
    if entry.flag_bits & _ENCRYPTED:
        return Kind.ENCRYPTED
    if stat.S_ISLNK(mode):
        return Kind.LINK
    if entry.filename.endswith(("/", "\\")) or stat.S_ISDIR(mode):
        return Kind.FOLDER
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return Kind.SPECIAL
    return Kind.FILE if entry.compress_type in _METHODS else Kind.RARE


def _chunks(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with opened.open(entry) as content:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk
