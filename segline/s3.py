"""Data sets in S3 object stores (MinIO, AWS and others), mirrored into a local folder."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from segline import atomic
from segline.archives import inner_path, is_junk
from segline.errors import SeglineError
from segline.progress import Progress, silent

if TYPE_CHECKING:
    from minio import Minio

_INDEX = ".s3-index.json"
_CHUNK_BYTES = 1 << 20
_CONNECT_S, _READ_S, _RETRIES = 10, 60, 2

_CODE = re.compile(r"<Code>(\w+)</Code>")
_HINTS = {
    "NoSuchBucket": "there is no such bucket; create it or correct the address",
    "NoSuchKey": "there is no such object; correct the address",
    "AccessDenied": "access denied; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
    "InvalidAccessKeyId": "the access key is unknown there; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key is wrong; check AWS_SECRET_ACCESS_KEY",
}


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

    @classmethod
    def from_environment(cls, mapping: Mapping[str, str]) -> "S3Settings | None":
        """Settings from the usual variables; None where neither key is set. For entry points.

        ``S3_ENDPOINT`` or ``AWS_ENDPOINT_URL`` (TLS unless it starts with ``http://``; AWS by default),
        ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION`` (``us-east-1`` by default).

        Raises:
            SeglineError: one key without the other.
        """
        keys = [mapping.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
        if not any(keys):
            return None
        if not all(keys):
            raise SeglineError("S3 credentials: set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        url = mapping.get("S3_ENDPOINT") or mapping.get("AWS_ENDPOINT_URL") or "s3.amazonaws.com"
        parts = urlsplit(url if "://" in url else f"https://{url}")
        region = mapping.get("AWS_REGION") or "us-east-1"
        return cls(parts.netloc, keys[0], keys[1], region, secure=parts.scheme != "http")


@dataclass(frozen=True)
class S3Object:
    """An object as its store lists it."""

    key: str
    size_bytes: int
    etag: str
    """Changes with the content."""


@dataclass(frozen=True)
class S3Location:
    """``s3://bucket/key``, with the settings that reach it.

    Raises:
        SeglineError: from every method, where the store cannot be reached, refuses, or has no such thing.
    """

    uri: str
    settings: S3Settings

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.uri.removeprefix("s3://").partition("/")[0]

    @property
    def key(self) -> str:
        """An object's key or a prefix, without ``/`` at either end."""
        return self.uri.removeprefix("s3://").partition("/")[2].strip("/")

    def object(self) -> S3Object:
        """The one object that is at this very key."""
        with self._told_in_one_line():
            found = self._client.stat_object(self.bucket, self.key)
        return S3Object(self.key, found.size or 0, found.etag or "")

    def objects(self) -> list[S3Object]:
        """Every file below this prefix, by key; ``dataset.json`` comes last."""
        prefix = f"{self.key}/" if self.key else ""
        with self._told_in_one_line():
            listed = list(self._client.list_objects(self.bucket, prefix=prefix or None, recursive=True))
        files = [S3Object(item.object_name, item.size or 0, item.etag or "") for item in listed]
        # A mirror that was cut short must not look like a data set.
        return sorted(
            (file for file in files if not file.key.endswith("/")),
            key=lambda file: (file.key == f"{prefix}dataset.json", file.key),
        )

    def download(self, file: S3Object, path: Path) -> None:
        """Write an object to ``path``, atomically."""
        with self._told_in_one_line(), atomic.new_file(path) as scratch:
            response = self._client.get_object(self.bucket, file.key)
            try:
                with scratch.open("wb") as target:
                    for chunk in response.stream(_CHUNK_BYTES):
                        target.write(chunk)
            finally:
                response.close()
                response.release_conn()
            size = scratch.stat().st_size
            if size != file.size_bytes:
                problem = f"{file.key} came with {size} bytes of {file.size_bytes}; run again"
                raise SeglineError(f"{self.uri}: {problem}")

    def mirror(self, folder: Path, progress: Progress = silent) -> None:
        """Make ``folder`` hold what lies below this prefix; files of the same size and ETag are kept."""
        files = {self._relative(file): file for file in self.objects()}
        wanted = {name: file for name, file in files.items() if not is_junk(inner_path(name, self.uri))}
        if not wanted:
            raise SeglineError(f"{self.uri}: nothing lies under this prefix; correct the address")
        index = _read_index(folder / _INDEX)
        for name in index.keys() - wanted.keys():
            (folder / name).unlink(missing_ok=True)
        index = {name: etag for name, etag in index.items() if name in wanted}
        for number, (name, file) in enumerate(wanted.items(), 1):
            if index.get(name) != file.etag or not _has_size(folder / name, file.size_bytes):
                self.download(file, folder / name)
                index[name] = file.etag
                atomic.write_text(folder / _INDEX, json.dumps(index, indent=1, sort_keys=True))
            progress(number / len(wanted), f"{number} of {len(wanted)} objects")

    def _relative(self, file: S3Object) -> str:
        name = file.key[len(self.key) :]
        return str(inner_path(name.removeprefix("/") if self.key else name, self.uri))

    @cached_property
    def _client(self) -> "Minio":
        from minio import Minio
        from urllib3 import PoolManager, Retry, Timeout

        settings = self.settings
        pool = PoolManager(
            timeout=Timeout(connect=_CONNECT_S, read=_READ_S),
            retries=Retry(total=_RETRIES, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)),
        )
        return Minio(
            settings.endpoint,
            settings.access_key,
            settings.secret_key,
            region=settings.region,
            secure=settings.secure,
            http_client=pool,
        )

    @contextmanager
    def _told_in_one_line(self) -> Iterator[None]:
        try:
            from minio.error import MinioException
            from urllib3.exceptions import HTTPError
        except ImportError as error:
            raise SeglineError(
                f"{self.uri}: {error.name} is missing; pip install 'segline[store]'"
            ) from error
        try:
            yield
        except (MinioException, HTTPError, ValueError) as error:
            raise SeglineError(f"{self.uri}: {_hint(error, self.settings.endpoint)}") from error
        except OSError as error:
            raise SeglineError(f"{self.uri}: cannot be stored here ({error})") from error


def _hint(error: Exception, endpoint: str) -> str:
    # Where a server does not call its answer XML (rclone), the code is only in the text.
    in_text = _CODE.search(str(error))
    code = getattr(error, "code", None) or (in_text[1] if in_text else None)
    if code in _HINTS:
        return f"{_HINTS[code]} (at {endpoint})"
    return f"cannot use {endpoint} ({getattr(error, 'reason', None) or error}); check the address"


def _has_size(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes


def _read_index(path: Path) -> dict[str, str]:
    try:
        return {str(name): str(etag) for name, etag in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        # Without an index all is downloaded again.
        return {}
