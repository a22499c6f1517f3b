"""Objects: bytes under keys. Here those in a folder; :mod:`segline.storage.s3` has those in an S3 bucket."""

import errno
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from segline.common.errors import SeglineError


@dataclass(frozen=True)
class StoredObject:
    """An object as its store describes it."""

    key: str
    size_bytes: int
    etag: str
    """Changes with the content; the content's MD5 in most S3 stores where it came in one part."""
    modified: datetime
    sha256: str | None = None
    """What was stored under this key; None in a listing, and where another tool wrote the object."""


class Objects(Protocol):
    """Whole objects under keys such as ``cases/ab12/image.npy``; nobody ever sees half of one.

    Every method raises :class:`SeglineError` where the objects cannot be reached, read or written.
    """

    def where(self, key: str) -> str:
        """The object's URI."""

    def stat(self, key: str) -> StoredObject | None:
        """The object, or None where there is none."""

    def listed(self, prefix: str) -> list[StoredObject]:
        """Every object whose key starts with ``prefix``, which is empty or ends with ``/``, by key."""

    def put(self, key: str, path: Path, sha256: str) -> None:
        """Store a file whose digest is ``sha256``."""

    def get(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Write the object to ``path`` if its digest is ``sha256`` or, without it, what was stored with it.

        The caller sees to it that nobody else writes ``path`` meanwhile.
        """

    def write(self, key: str, data: bytes) -> None:
        """Store a small object."""

    def read(self, key: str) -> bytes:
        """A small object, checked as by :meth:`get`."""

    def create(self, key: str, data: bytes) -> bool:
        """Store a small object unless there is one; whether ``data`` is what the key holds now."""

    def delete(self, key: str) -> None:
        """Remove the object, if there is one."""


def require_digest(where: str, wanted: str | None, got: str) -> None:
    """Let through what has the digest it was stored with, or was stored without.

    Raises:
        SeglineError: the digests differ.
    """
    if wanted not in (None, got):
        raise SeglineError(
            f"{where}: damaged, its SHA-256 is {got} and not the {wanted} it was stored with; store it again"
        )


class MissingObjectError(SeglineError):
    """There is no such object or whole folder."""

    def __init__(self, where: str, kind: str = "object") -> None:
        super().__init__(f"{where}: there is no such {kind}; correct the address")


class UnreachableError(SeglineError):
    """No server answers where the objects should be; from elsewhere one may."""


def local_fault(error: OSError, where: str) -> SeglineError:
    """One line about a file of this machine that stands for ``where``, or is on its way from or to it."""
    if isinstance(error, FileNotFoundError) and where.endswith(str(error.filename)):
        return MissingObjectError(where)
    reason = error.strerror or error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SeglineError(f"{where}: no space left for {error.filename or 'it'} ({reason}); free some")
    return SeglineError(f"{where}: cannot be read or written ({reason}: {error.filename}); check the disk")
