"""Objects as files of a folder."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from segline.common import atomic
from segline.common.digests import sha256_of_file
from segline.storage.objects import StoredObject, local_fault, require_digest

_ATTRIBUTE = "user.sha256"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class FileObjects:
    """Objects as files below ``root``; digests are kept in extended attributes where the disk has them."""

    root: Path

    def where(self, key: str) -> str:
        """The object's URI."""
        return f"file://{self.root / key}"

    def stat(self, key: str) -> StoredObject | None:
        """The object, or None where there is none."""
        try:
            with (self.root / key).open("rb") as stream:
                return self._described(key, os.fstat(stream.fileno()), _kept_digest(stream.fileno()))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise local_fault(error, self.where(key)) from error

    def listed(self, prefix: str) -> list[StoredObject]:
        """Every object whose key starts with ``prefix``, which is empty or ends with ``/``, by key."""
        seen = []
        for folder, subfolders, names in os.walk(self.root / prefix):
            subfolders[:] = [name for name in subfolders if not name.startswith(atomic.SCRATCH)]
            for name in names:
                path = Path(folder, name)
                # What another process removes meanwhile is not there.
                with suppress(FileNotFoundError):
                    key = path.relative_to(self.root).as_posix()
                    seen.append(self._described(key, path.stat(), None))
        files = (item for item in seen if not Path(item.key).name.startswith(atomic.SCRATCH))
        return sorted(files, key=lambda item: item.key)

    def put(self, key: str, path: Path, sha256: str) -> None:
        """Store a file whose digest is ``sha256``."""
        with self._readable_errors(key), atomic.new_file(self.root / key) as scratch:
            shutil.copyfile(path, scratch)
            _keep_digest(scratch, sha256)

    def get(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Write the object to ``path`` if its digest is right."""
        with (
            self._readable_errors(key),
            (self.root / key).open("rb") as stored,
            atomic.new_file(path) as scratch,
        ):
            with scratch.open("wb") as target:
                shutil.copyfileobj(stored, target, _CHUNK_BYTES)
            wanted = sha256 or _kept_digest(stored.fileno())
            require_digest(self.where(key), wanted, sha256_of_file(scratch))

    def write(self, key: str, data: bytes) -> None:
        """Store a small object."""
        with self._readable_errors(key), atomic.new_file(self.root / key) as scratch:
            scratch.write_bytes(data)
            _keep_digest(scratch, hashlib.sha256(data).hexdigest())

    def read(self, key: str) -> bytes:
        """A small object, checked as by :meth:`get`."""
        with self._readable_errors(key), (self.root / key).open("rb") as stream:
            data = stream.read()
            require_digest(self.where(key), _kept_digest(stream.fileno()), hashlib.sha256(data).hexdigest())
            return data

    def create(self, key: str, data: bytes) -> bool:
        """Store a small object unless there is one; whether ``data`` is what the key holds now."""
        path = self.root / key
        with self._readable_errors(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=atomic.SCRATCH) as folder:
                scratch = Path(folder, "object")
                scratch.write_bytes(data)
                _keep_digest(scratch, hashlib.sha256(data).hexdigest())
                # Unlike a rename, a link never replaces what is there.
                with suppress(FileExistsError):
                    os.link(scratch, path)
        return self.read(key) == data

    def delete(self, key: str) -> None:
        """Remove the object, if there is one, and the folders that it leaves empty."""
        path = self.root / key
        with self._readable_errors(key):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            for folder in path.relative_to(self.root).parents[:-1]:
                (self.root / folder).rmdir()

    @contextmanager
    def _readable_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise local_fault(error, self.where(key)) from error

    @staticmethod
    def _described(key: str, status: os.stat_result, sha256: str | None) -> StoredObject:
        etag = f"{status.st_mtime_ns:x}-{status.st_size:x}"
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        return StoredObject(key, status.st_size, etag, modified, sha256)


def _keep_digest(path: Path, sha256: str) -> None:
    # Some disks have no extended attributes: objects there are as those of other tools, without a digest.
    with suppress(OSError, AttributeError):
        os.setxattr(path, _ATTRIBUTE, sha256.encode())


def _kept_digest(descriptor: int) -> str | None:
    try:
        return os.getxattr(descriptor, _ATTRIBUTE).decode()
    except (OSError, AttributeError):
        return None
