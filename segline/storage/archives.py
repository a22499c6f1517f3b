"""Tar archives of data sets, unpacked so that nothing can land outside the folder or stay half written."""

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from segline.common import atomic
from segline.common.errors import SeglineError

_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_BLOCK_BYTES = 512
_CHUNK_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"

_Member = tuple[tarfile.TarInfo, PurePosixPath]


def archive_stem(name: str) -> str | None:
    """A file name without its tar suffix; None where the name is not an archive's.

    >>> archive_stem("Task09_Spleen.tar.gz")
    'Task09_Spleen'
    """
    return next((name[: -len(suffix)] for suffix in _SUFFIXES if name.endswith(suffix)), None)


def inner_path(name: str, where: str) -> PurePosixPath:
    """``name`` as a relative path that cannot lead out of the folder it is joined to.

    Raises:
        SeglineError: absolute, with ``..``, or empty; ``where`` says who named it.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise SeglineError(f"{where}: path {name!r} leads out of the folder; use plain relative paths")
    return path


def is_junk(path: PurePosixPath) -> bool:
    """Whether macOS left the file beside the real ones (``._name``, a resource fork)."""
    return path.name.startswith("._")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar file, plain or gzipped, into a new ``folder``, whole or not at all.

    A single top folder in the archive is left out, so that ``folder/dataset.json`` exists where the archive
    holds ``Task09_Spleen/dataset.json``. macOS resource forks are ignored. If another worker makes
    ``folder`` meanwhile, theirs is kept.

    Raises:
        SeglineError: not a tar file, truncated, larger than the free disk space, without a file, or with a
            member that is a link, a device or named outside the folder; or ``folder`` is not empty.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise SeglineError(f"{folder}: the folder to unpack {archive.name} into is not empty; remove it")
    with _opened(archive) as tar:
        files = _without_top_folder(_files(tar, archive))
        _check_whole(tar)
        with atomic.new_folder(folder) as scratch:
            _check_room(files, archive, scratch)
            for member, path in files:
                _write(tar, member, scratch / path, archive)


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    if not archive.is_file():
        raise SeglineError(f"{archive}: no such archive")
    try:
        with archive.open("rb") as stream:
            zipped = stream.read(2) == _GZIP_MAGIC
        with tarfile.open(archive, "r:gz" if zipped else "r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SeglineError(f"{archive}: truncated or damaged tar ({error}); fetch it again") from error


def _files(tar: tarfile.TarFile, archive: Path) -> list[_Member]:
    files = []
    for member in tar:
        if member.isdir():
            continue
        path = inner_path(member.name, str(archive))
        if not member.isreg():
            kind = "link" if member.issym() or member.islnk() else "device or other special file"
            raise SeglineError(f"{archive}: {member.name!r} is a {kind}; only plain files are unpacked")
        if not is_junk(path):
            files.append((member, path))
    if not files:
        raise SeglineError(f"{archive}: holds no file; give the archive of a Decathlon folder")
    return files


def _check_whole(tar: tarfile.TarFile) -> None:
    # tarfile takes a cut between two members for the end: only the closing block of zeros tells them apart.
    stream = tar.fileobj
    assert stream is not None
    stream.seek(tar.offset)
    if stream.read(_BLOCK_BYTES) != bytes(_BLOCK_BYTES):
        raise tarfile.ReadError("no end-of-archive mark")
    # gzip compares its checksum only when read to the end.
    while stream.read(_CHUNK_BYTES):
        pass


def _without_top_folder(files: list[_Member]) -> list[_Member]:
    tops = {path.parts[0] for _, path in files}
    if len(tops) > 1 or any(len(path.parts) == 1 for _, path in files):
        return files
    return [(member, PurePosixPath(*path.parts[1:])) for member, path in files]


def _check_room(files: list[_Member], archive: Path, folder: Path) -> None:
    needed = sum(member.size for member, _ in files)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SeglineError(
            f"{archive}: unpacks to {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free at {folder.parent}; "
            "free some disk space"
        )


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, archive: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with source, path.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
    except OSError as error:
        raise SeglineError(f"{archive}: cannot write {member.name!r} ({error.strerror})") from error
