"""Objects in S3 stores: MinIO, SeaweedFS, AWS and others, through the ``minio`` client."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

from segline.common.digests import sha256_of_file
from segline.common.errors import SeglineError
from segline.storage.objects import (
    MissingObjectError,
    StoredObject,
    UnreachableError,
    local_fault,
    require_digest,
)
from segline.storage.retries import Patience

if TYPE_CHECKING:
    from minio import Minio
    from urllib3 import BaseHTTPResponse, PoolManager

T = TypeVar("T")

_CHUNK_BYTES = 1 << 16
_PART_BYTES = 16 << 20
_CONNECTIONS = 64
_CONNECT_S, _READ_S = 10, 60
_PATIENCE_S = 120.0
_DIGEST = "x-amz-meta-sha256"

_HINTS = {
    "NoSuchBucket": "there is no such bucket; create it or correct the address",
    "AccessDenied": "access denied; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
    "InvalidAccessKeyId": "the access key is unknown there; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key is wrong; check AWS_SECRET_ACCESS_KEY",
    "XMinioStorageFull": "no space left in the object store; free some there",
}
# A server that was started again has forgotten the multipart uploads of before: the next try begins anew.
_PASSING = {"NoSuchUpload", "SlowDown", "RequestTimeout", "ConditionalRequestConflict", "OperationAborted"}
_PASSING_STATUS = {429, 500, 502, 503, 504}


@dataclass(frozen=True)
class S3Settings:
    """How to reach an object store."""

    endpoint: str
    """``host`` or ``host:port``."""
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    secure: bool = True
    """Whether to speak TLS."""
    patience_s: float = _PATIENCE_S
    """How long to go on trying when the server refuses connections or fails."""

    @classmethod
    def from_environment(cls, mapping: Mapping[str, str]) -> "S3Settings | None":
        """Settings from the usual variables; None where neither key is set. For entry points.

        ``S3_ENDPOINT`` or ``AWS_ENDPOINT_URL`` (TLS unless it starts with ``http://``; AWS by default),
        ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION`` (``us-east-1`` by default),
        ``S3_PATIENCE_S`` (120 by default).

        Raises:
            SeglineError: one key without the other, or a patience that is not a number.
        """
        keys = [mapping.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
        if not any(keys):
            return None
        if not all(keys):
            raise SeglineError("S3 credentials: set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        url = mapping.get("S3_ENDPOINT") or mapping.get("AWS_ENDPOINT_URL") or "s3.amazonaws.com"
        parts = urlsplit(url if "://" in url else f"https://{url}")
        region = mapping.get("AWS_REGION") or "us-east-1"
        patience_s = _seconds(mapping.get("S3_PATIENCE_S") or str(_PATIENCE_S))
        return cls(parts.netloc, keys[0], keys[1], region, parts.scheme != "http", patience_s)


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
            found = self._client.stat_object(self.bucket, key)
            _require_whole_head(found.metadata or {})
            return found

        try:
            found = self._tried(key, ask)
        except MissingObjectError:
            return None
        return _described(key, found, (found.metadata or {}).get(_DIGEST))

    def listed(self, prefix: str) -> list[StoredObject]:
        """Every object whose key starts with ``prefix``, which is empty or ends with ``/``, by key."""
        found = self._tried(
            prefix.rstrip("/"),
            lambda: list(self._client.list_objects(self.bucket, prefix=prefix or None, recursive=True)),
        )
        # Some tools leave empty objects in place of folders.
        files = (item for item in found if not item.object_name.endswith("/"))
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
        with self._told(key):
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
                return response.read(), response.headers.get(_DIGEST)

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
            except _ExistsError:
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
                if not _is_passing(error):
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
            if _code(error) != "InvalidRange":
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
        with self._told(key):
            while True:
                try:
                    return action()
                except Exception as error:
                    if not _is_passing(error):
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
    def _told(self, key: str) -> Iterator[None]:
        where = self.where(key) if self.bucket else "s3://"
        try:
            from minio.error import MinioException
            from urllib3.exceptions import HTTPError
        except ImportError as error:
            raise SeglineError(f"{where}: {error.name} is missing; pip install 'segline[store]'") from error
        try:
            yield
        except (MinioException, HTTPError, ValueError, ParseError) as error:
            raise _told_fault(error, where, self.settings) from error
        except OSError as error:
            raise local_fault(error, where) from error


class _ExistsError(SeglineError):
    pass


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SeglineError(f"S3_PATIENCE_S={text}: give a number of seconds") from None


def _described(key: str, found: Any, sha256: str | None) -> StoredObject:
    modified = found.last_modified or datetime.fromtimestamp(0, UTC)
    return StoredObject(key, found.size or 0, (found.etag or "").strip('"'), modified, sha256)


def _require_whole_head(headers: Mapping[str, str]) -> None:
    from urllib3.exceptions import ProtocolError

    # Where a connection ends amid the headers, Python takes the answer for whole, and its body for empty.
    if not {"etag", "content-length"} <= {name.lower() for name in headers}:
        raise ProtocolError("the answer was cut")


def _receive(response: "BaseHTTPResponse", part: Path) -> None:
    # Not the status: some servers answer a range with 200.
    asked = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    with part.open("r+b" if part.exists() else "wb") as target:
        target.seek(int(asked[1]) if asked else 0)
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


def _is_passing(error: Exception) -> bool:
    """Whether the same request may well succeed a little later."""
    from urllib3.exceptions import HTTPError, LocationValueError, NameResolutionError, SSLError

    if isinstance(error, NameResolutionError):
        return "Temporary failure" in str(error)
    if isinstance(error, HTTPError | ParseError):
        return not isinstance(error, SSLError | LocationValueError)
    return _code(error) in _PASSING or _status(error) in _PASSING_STATUS


def _code(error: Exception) -> str | None:
    """What S3 calls the fault."""
    # Where a server does not call its answer XML (rclone), the code is only in the text.
    in_text = re.search(r"<Code>(\w+)</Code>", str(error))
    return getattr(error, "code", None) or (in_text[1] if in_text else None)


def _status(error: Exception) -> int | None:
    in_text = re.search(r"Response code: (\d+)", str(error))
    answer = getattr(error, "response", None)
    return getattr(error, "status_code", None) or getattr(answer, "status", in_text and int(in_text[1]))


def _told_fault(error: Exception, where: str, settings: S3Settings) -> SeglineError:
    code, status = _code(error), _status(error)
    if code == "NoSuchKey":
        return MissingObjectError(where)
    if code == "PreconditionFailed" or status == 412:
        return _ExistsError(f"{where}: is there already; choose another name")
    if code in _HINTS:
        return SeglineError(f"{where}: {_HINTS[code]} (at {settings.endpoint})")
    reason = f"it answers {status} {code or ''}".strip() if status else str(error).rpartition(": ")[2]
    tried = f" after {settings.patience_s:g} s of trying" if _is_passing(error) else ""
    return UnreachableError(f"{where}: cannot use {settings.endpoint}{tried} ({reason}); check the address")
