"""The object store: files and folders, at ``file://`` or ``s3://``, that appear whole or not at all."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from segline.common.digests import file_chunks, md5_of_chunks, sha256_of_file
from segline.common.errors import SeglineError
from segline.common.locks import exclusive_for_once
from segline.common.parallel import do_all
from segline.common.progress import Progress, silent
from segline.storage.archives import inner_path
from segline.storage.folder_objects import FileObjects
from segline.storage.objects import MissingObjectError, Objects, StoredObject, local_fault
from segline.storage.s3 import S3Objects
from segline.storage.s3_settings import S3Settings

FOLDER_MARKER = ".segline-folder.json"
"""The last object of a stored folder: what the folder holds."""

_THREADS = 8


class StoredFile(BaseModel):
    """A file of a stored folder."""

    model_config = ConfigDict(frozen=True)

    size_bytes: int
    sha256: str


class FolderContents(BaseModel):
    """What a stored folder holds; kept as its last object, without which the folder is not there."""

    model_config = ConfigDict(frozen=True)

    files: dict[str, StoredFile]
    """Relative path to file."""


@dataclass(frozen=True)
class StoredFolder:
    """A whole folder in a store."""

    key: str
    size_bytes: int
    modified: datetime
    """When it became whole."""


@dataclass(frozen=True)
class Store:
    """Files and folders under one URI, by keys: relative paths with ``/``.

    Threads may share it, and it can be sent to other processes. What an S3 server refuses for the moment is
    tried again for as long as the settings' patience; wrong credentials or a missing bucket fail at once.

    Raises:
        SeglineError: from every method, where the store cannot be reached, refuses, or is full, where there
            is no such object, or where it is damaged; then nothing of it is kept.
    """

    objects: Objects
    prefix: str = ""
    """Without ``/`` at either end."""
    threads: int = _THREADS
    """Transfers at a time."""

    def __truediv__(self, key: str) -> "Store":
        """The part of the store below ``key``."""
        return replace(self, prefix=self._key(key))

    @property
    def uri(self) -> str:
        """Where the store is; :func:`open_store` opens the same."""
        return self.objects.where(self.prefix)

    def put_file(self, path: Path, key: str) -> None:
        """Store a file and its SHA-256."""
        self.objects.put(self._key(key), path, _stored_file(path).sha256)

    def get_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Write a stored file to ``path``, atomically, if its SHA-256 is right.

        That is ``sha256`` or, without it, the one the file was stored with.
        A transfer from S3 that was interrupted continues where it stopped, also in another process.
        """
        with exclusive_for_once(path.with_name(f".{path.name}.lock")):
            self.objects.get(self._key(key), path, sha256)

    def write(self, key: str, data: bytes) -> None:
        """Store a few bytes, such as a JSON document."""
        self.objects.write(self._key(key), data)

    def read(self, key: str) -> bytes:
        """What :meth:`write` or :meth:`put_file` stored."""
        return self.objects.read(self._key(key))

    def create(self, key: str, data: bytes) -> bool:
        """Store a few bytes unless the key is taken; whether the key holds ``data`` now.

        Of several callers with different data one is told True; S3 servers without conditional writes may
        tell it to two that call at the very same moment.
        """
        return self.objects.create(self._key(key), data)

    def stat(self, key: str) -> StoredObject | None:
        """The object, or None where there is none."""
        stored = self.objects.stat(self._key(key))
        return replace(stored, key=key) if stored else None

    def listed(self) -> list[StoredObject]:
        """Every object of the store, by key, those of unfinished folders among them."""
        prefix = f"{self.prefix}/" if self.prefix else ""
        return [replace(item, key=item.key[len(prefix) :]) for item in self.objects.listed(prefix)]

    def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        self.objects.delete(self._key(key))

    def put_folder(self, folder: Path, key: str, progress: Progress = silent) -> None:
        """Store the files of a folder; for :meth:`get_folder` they are there once all are.

        Files that an interrupted call has stored are not sent again. Another folder under the same key is
        gone from the moment its first file is replaced.
        """
        part, contents, there = self / key, folder_contents(folder, self.threads), self.contents(key)
        if contents == there:
            return
        if there:
            part.delete(FOLDER_MARKER)
        stored = {item.key: item for item in part.listed()}
        part._delete_all(stored.keys() - contents.files.keys())

        def send(name: str) -> None:
            if not (name in stored and part._holds(name, folder / name, contents.files[name])):
                self.objects.put(part._key(name), folder / name, contents.files[name].sha256)

        do_all(send, contents.files, self.threads, "files", progress)
        part.write(FOLDER_MARKER, contents.model_dump_json(indent=1).encode())

    def get_folder(self, key: str, folder: Path, progress: Progress = silent) -> None:
        """Write a stored folder to ``folder``, whole or not at all, if every file's SHA-256 is right.

        Where ``folder`` is there already, it is only checked. Files that an interrupted call has brought
        into ``.<name>.part`` beside it are not fetched again.
        """
        contents = self.contents(key)
        if contents is None:
            raise MissingObjectError((self / key).uri, "folder, or it is not whole")
        part = folder.with_name(f".{folder.name}.part")
        with exclusive_for_once(folder.with_name(f".{folder.name}.lock")):
            if not folder.exists():
                (self / key)._complete(part, contents, progress)
                part.rename(folder)
            elif folder_contents(folder, self.threads) != contents:
                raise SeglineError(f"{folder}: holds something else than {(self / key).uri}; remove it")

    def contents(self, key: str) -> FolderContents | None:
        """What the folder under ``key`` holds, or None where there is none or it is not whole."""
        try:
            return FolderContents.model_validate_json(self.read(f"{key}/{FOLDER_MARKER}"))
        except MissingObjectError:
            return None
        except ValidationError as error:
            raise SeglineError(f"{(self / key).uri}: damaged list of files; store it again") from error

    def folders(self) -> list[StoredFolder]:
        """Every whole folder of the store, by key."""
        items, sizes = self.listed(), Counter[str]()
        for item in items:
            for parent in PurePosixPath(item.key).parents:
                sizes[str(parent)] += item.size_bytes
        ending = f"/{FOLDER_MARKER}"
        keys = [(item.key.removesuffix(ending), item.modified) for item in items if item.key.endswith(ending)]
        return [StoredFolder(key, sizes[key], modified) for key, modified in keys]

    def delete_folder(self, key: str) -> None:
        """Remove a folder, whole or not; nobody takes a part of it for the whole."""
        part = self / key
        part.delete(FOLDER_MARKER)
        part._delete_all(item.key for item in part.listed())

    def _key(self, key: str) -> str:
        inner = inner_path(key, self.uri).as_posix()
        return f"{self.prefix}/{inner}" if self.prefix else inner

    def _delete_all(self, keys: Iterable[str]) -> None:
        do_all(self.delete, list(keys), self.threads)

    def _holds(self, name: str, path: Path, file: StoredFile) -> bool:
        there = self.objects.stat(self._key(name))
        if there is None or there.size_bytes != file.size_bytes:
            return False
        # Not every server keeps metadata for good, but its ETags are MD5 digests then.
        return there.sha256 == file.sha256 if there.sha256 else there.etag == md5_of_chunks(file_chunks(path))

    def _complete(self, folder: Path, contents: FolderContents, progress: Progress) -> None:
        folder.mkdir(parents=True, exist_ok=True)

        def bring(name: str) -> None:
            path = folder / inner_path(name, self.uri)
            if not (path.is_file() and _stored_file(path) == contents.files[name]):
                self.objects.get(self._key(name), path, contents.files[name].sha256)

        do_all(bring, contents.files, self.threads, "files", progress)
        for path in list(folder.rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in contents.files:
                path.unlink()
                with suppress(OSError):
                    path.parent.rmdir()


def open_store(uri: str, settings: S3Settings | None = None, threads: int = _THREADS) -> Store:
    """The store at ``s3://bucket/prefix``, ``file:///folder`` or the path of a folder, which need not exist.

    Raises:
        SeglineError: ``s3://`` without settings, or another kind of URI.
    """
    if not uri.startswith("s3://"):
        if not uri or "://" in uri.removeprefix("file://"):
            raise SeglineError(f"{uri!r}: no such store; give s3://bucket/prefix, file:///folder or a folder")
        folder = Path(uri.removeprefix("file://")).expanduser().absolute()
        return Store(FileObjects(folder), threads=threads)
    if settings is None:
        needed = "S3_ENDPOINT, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise SeglineError(f"{uri}: no credentials for the object store; set {needed}")
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    store = Store(S3Objects(bucket, settings), threads=threads)
    return store / prefix if prefix.strip("/") else store


def seal(folder: Path) -> None:
    """Write down what a folder of this machine holds, as :meth:`Store.put_folder` does in the store."""
    (folder / FOLDER_MARKER).write_text(folder_contents(folder).model_dump_json(indent=1), encoding="utf-8")


def is_as_sealed(folder: Path) -> bool:
    """Whether every byte of a folder is what :func:`seal` wrote down, where it did: what came has no seal."""
    if folder.is_dir() and not (folder / FOLDER_MARKER).exists():
        return True
    try:
        return folder_contents(folder, threads=1) == FolderContents.model_validate_json(
            (folder / FOLDER_MARKER).read_bytes()
        )
    except (OSError, SeglineError, ValidationError):
        return False


def folder_contents(folder: Path, threads: int = _THREADS) -> FolderContents:
    """What a folder of this machine holds.

    Raises:
        SeglineError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise SeglineError(f"{folder}: no such folder; give one to store")
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FOLDER_MARKER)
    files: dict[Path, StoredFile] = {}
    do_all(lambda path: files.update({path: _stored_file(path)}), paths, threads)
    return FolderContents(files={path.relative_to(folder).as_posix(): files[path] for path in paths})


def _stored_file(path: Path) -> StoredFile:
    try:
        return StoredFile(size_bytes=path.stat().st_size, sha256=sha256_of_file(path))
    except OSError as error:
        raise local_fault(error, str(path)) from error
