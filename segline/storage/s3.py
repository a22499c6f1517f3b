"""Objects in S3 stores: MinIO, SeaweedFS, AWS and others, through the ``minio`` client."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from xml.etree.ElementTree import ParseError

from segline.common.digests import sha256_of_file
from segline.common.documents.texts import LARGEST_JSON
from segline.common.errors import SeglineError, imports_of
from segline.storage.objects import (
    MissingObjectError,
    StoredObject,
    local_fault,
    require_digest,
)
from segline.storage.retries import Patience
from segline.storage.s3_faults import ExistsError, fault_code, is_passing, plain_fault
from segline.storage.s3_settings import S3Settings

if TYPE_CHECKING:
    from minio import Minio
    from urllib3 import BaseHTTPResponse, PoolManager

T = TypeVar("T")

_CHUNK_BYTES = 1 << 16
_PART_BYTES = 16 << 20
_CONNECTIONS = 64
_CONNECT_S, _READ_S = 10, 60
_DIGEST = "x-amz-meta-sha256"


@dataclass(frozen=True)
class S3Objects:
    """The objects of a bucket. One client, with its connections, serves all threads."""

    bucket: str
    settings: S3Settings

    def where(self, key: str) -> str:
        """The object's URI."""
        return f"s3://{self.bucket}/{key}" if key else f"s3://{self.bucket}"

    def stat(self, key: str) -> StoredObject | None:
        """The object, or None where there is none."""

        def ask() -> Any:
            answer = self._client.stat_object(self.bucket, key)
            _require_whole_head(answer.metadata or {})
            return answer

        try:
            answer = self._tried(key, ask)
        except MissingObjectError:
            return None
        return _described(key, answer, (answer.metadata or {}).get(_DIGEST))

    def listed(self, prefix: str) -> list[StoredObject]:
        """Every object whose key starts with ``prefix``, which is empty or ends with ``/``, by key."""
        answer = self._tried(
            prefix.rstrip("/"),
            lambda: list(self._client.list_objects(self.bucket, prefix=prefix or None, recursive=True)),
        )
        # Some tools leave empty objects in place of folders.
        files = (item for item in answer if not item.object_name.endswith("/"))
        return sorted((_described(item.object_name, item, None) for item in files), key=lambda file: file.key)

    def put(self, key: str, path: Path, sha256: str) -> None:
        """Store a file whose digest is ``sha256``, in parts of 16 MiB, three at a time."""

        def send() -> None:
            with path.open("rb") as stream:
                self._put(key, stream, path.stat().st_size, sha256)

        self._tried(key, send)

    def get(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Write the object to ``path`` if its digest is right; what was cut continues where it stopped.

        What has come so far lies in ``.<name>.part/<etag>`` beside ``path``; an earlier process's is used.
        """
        with self._readable_errors(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(2):
                continued = _part_of(path) is not None
                part, stored_with = self._received(key, path)
                wanted, got = sha256 or stored_with, sha256_of_file(part)
                if wanted in (None, got):
                    part.replace(path)
                    part.parent.rmdir()
                    return
                part.unlink()
                # A part may have been damaged here: only an object that came in one piece is judged.
                if not continued:
                    break
            part.parent.rmdir()
            require_digest(self.where(key), wanted, got)

    def write(self, key: str, data: bytes) -> None:
        """Store a small object."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._tried(key, lambda: self._put(key, io.BytesIO(data), len(data), sha256))

    def read(self, key: str) -> bytes:
        """A small object, checked as by :meth:`get`."""

        def receive() -> tuple[bytes, str | None]:
            with self._opened(key, 0) as response:
                data = response.read(LARGEST_JSON + 1)
                if len(data) > LARGEST_JSON:
                    raise SeglineError(f"{self.where(key)}: too large for what is read at once; remove it")
                return data, response.headers.get(_DIGEST)

        data, wanted = self._tried(key, receive)
        require_digest(self.where(key), wanted, hashlib.sha256(data).hexdigest())
        return data

    def create(self, key: str, data: bytes) -> bool:
        """Store a small object unless there is one; whether ``data`` is what the key holds now.

        Two at the same time are told apart only by stores that know conditional writes, as AWS and MinIO do.
        """
        if self.stat(key) is None:
            try:
                self._tried(key, lambda: self._put_new(key, data))
                return True
            except ExistsError:
                pass
        # An earlier try may have stored it though its answer was lost.
        return self.stat(key) is not None and self.read(key) == data

    def delete(self, key: str) -> None:
        """Remove the object, if there is one."""
        self._tried(key, lambda: self._client.remove_object(self.bucket, key))

    def __reduce__(self) -> tuple[Any, ...]:
        # Connections cannot go to another process: it makes its own.
        return S3Objects, (self.bucket, self.settings)

    def _put(self, key: str, stream: Any, size_bytes: int, sha256: str) -> None:
        self._client.put_object(
            self.bucket, key, stream, size_bytes, metadata={"sha256": sha256}, part_size=_PART_BYTES
        )

    def _put_new(self, key: str, data: bytes) -> None:
        from minio.error import InvalidResponseError

        # The client has no way to send this header but with an address that is signed beforehand.
        address = self._client.presigned_put_object(self.bucket, key)
        answer = self._pool.request("PUT", address, body=data, headers={"If-None-Match": "*"})
        if answer.status != 200:
            raise InvalidResponseError(answer.status, None, answer.data.decode(errors="replace"))

    def _received(self, key: str, path: Path) -> tuple[Path, str | None]:
        """The whole object in its ``.part`` file, and the digest it was stored with."""
        patience = Patience(self.settings.patience_s)
        while True:
            before = _bytes_of(_part_of(path))
            try:
                return self._continued(key, path)
            except Exception as error:
                if not is_passing(error):
                    raise
                if _bytes_of(_part_of(path)) > before:
                    patience.renew()
                patience.wait(error, self.where(key))

    def _continued(self, key: str, path: Path) -> tuple[Path, str | None]:
        old = _part_of(path)
        # The last byte is asked for again: nothing lies beyond a part that is whole already.
        offset = max(0, _bytes_of(old) - 1)
        try:
            with self._opened(key, offset) as response:
                part = _part_path(path, response.headers["etag"])
                if old in (None, part):
                    _receive(response, part)
                    return part, response.headers.get(_DIGEST)
        except Exception as error:
            if fault_code(error) != "InvalidRange":
                raise
        # The part is of another content.
        if old is not None:
            old.unlink()
        return self._continued(key, path)

    @contextmanager
    def _opened(self, key: str, offset: int) -> Iterator["BaseHTTPResponse"]:
        response = self._client.get_object(self.bucket, key, offset=offset)
        try:
            _require_whole_head(response.headers)
            yield response
        finally:
            response.close()
            response.release_conn()

    def _tried(self, key: str, action: Callable[[], T]) -> T:
        patience = Patience(self.settings.patience_s)
        with self._readable_errors(key):
            while True:
                try:
                    return action()
                except Exception as error:
                    if not is_passing(error):
                        raise
                    patience.wait(error, self.where(key))

    @cached_property
    def _pool(self) -> "PoolManager":
        from urllib3 import PoolManager, Timeout

        timeout = Timeout(connect=_CONNECT_S, read=_READ_S)
        return PoolManager(timeout=timeout, retries=False, maxsize=_CONNECTIONS)

    @cached_property
    def _client(self) -> "Minio":
        from minio import Minio

        settings = self.settings
        return Minio(
            settings.endpoint,
            settings.access_key,
            settings.secret_key,
            region=settings.region,
            secure=settings.secure,
            http_client=self._pool,
        )

    @contextmanager
    def _readable_errors(self, key: str) -> Iterator[None]:
        where = self.where(key) if self.bucket else "s3://"
        with imports_of("store", where):
            from minio.error import MinioException
            from urllib3.exceptions import HTTPError
        try:
            yield
        except (MinioException, HTTPError, ValueError, ParseError) as error:
            raise plain_fault(error, where, self.settings) from error
        except OSError as error:
            raise local_fault(error, where) from error


def _described(key: str, answer: Any, sha256: str | None) -> StoredObject:
    modified = answer.last_modified or datetime.fromtimestamp(0, UTC)
    return StoredObject(key, answer.size or 0, (answer.etag or "").strip('"'), modified, sha256)


def _require_whole_head(headers: Mapping[str, str]) -> None:
    from urllib3.exceptions import ProtocolError

    # Where a connection ends amid the headers, Python takes the answer for whole, and its body for empty.
    if not {"etag", "content-length"} <= {name.lower() for name in headers}:
        raise ProtocolError("the answer was cut")


def _receive(response: "BaseHTTPResponse", part: Path) -> None:
    # Not the status: some servers answer a range with 200.
    offset = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    with part.open("r+b" if part.exists() else "wb") as target:
        target.seek(int(offset[1]) if offset else 0)
        target.truncate()
        for chunk in response.stream(_CHUNK_BYTES):
            target.write(chunk)


def _part_folder(path: Path) -> Path:
    # A folder for each: to look for the part among the files beside it takes as long as there are many.
    return path.with_name(f".{path.name}.part")


def _part_path(path: Path, etag: str) -> Path:
    folder = _part_folder(path)
    folder.mkdir(exist_ok=True)
    return folder / re.sub(r"[^0-9A-Za-z-]", "", etag)


def _part_of(path: Path) -> Path | None:
    folder = _part_folder(path)
    return next(folder.iterdir(), None) if folder.is_dir() else None


def _bytes_of(part: Path | None) -> int:
    return part.stat().st_size if part else 0
