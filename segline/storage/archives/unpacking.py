"""From the members of an archive to a folder of files."""

import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.common.limits import require_fits
from segline.storage.archives.members import MOST_MEMBERS, Kind, Member, RefusedError
from segline.storage.archives.names import is_junk, member_path, require_distinct
from segline.storage.archives.tars import opened_tar
from segline.storage.archives.zips import MAGICS, opened_zip

_DESCRIPTION = "dataset.json"
_LONGEST_REASON = 200
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    ValueError,
)

_Listed = list[tuple[PurePosixPath, Member]]


def unpack(archive: Path, folder: Path, most_bytes: int | None = None) -> None:
    """Unpack a zip or tar file, the latter plain or compressed, into a new ``folder``, whole or not at all.

    Of an archive with ``dataset.json``, only the folder that holds it is taken, so that
    ``folder/dataset.json`` exists wherever the archive has it; of one without, a single top folder is left
    out. What macOS leaves beside files is ignored. If another worker makes ``folder`` meanwhile, theirs is
    kept.

    Raises:
        SeglineError: neither zip nor tar, truncated, larger than ``most_bytes`` or the free disk space,
            without a file, with several data sets, or with a member that is a link, a device, sparse,
            encrypted, larger than one file may be, or named outside the folder or like another; or ``folder``
            is not empty.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise SeglineError(f"{folder}: the folder to unpack {archive.name} into is not empty; remove it")
    with _opened(archive) as members:
        with _told(archive):
            files = _chosen(_listed(members, archive, folder, most_bytes), archive)
        with atomic.new_folder(folder) as scratch, _told(archive):
            for path, member in files:
                _write(member, scratch / path)


def _opened(archive: Path) -> AbstractContextManager[Iterator[Member]]:
    if not archive.is_file():
        raise SeglineError(f"{archive}: no such archive")
    with archive.open("rb") as stream:
        is_zip = stream.read(4) in MAGICS
    return opened_zip(archive) if is_zip else opened_tar(archive)


@contextmanager
def _told(archive: Path) -> Iterator[None]:
    try:
        yield
    except RefusedError as error:
        raise SeglineError(f"{archive}: {error}") from error
    except _DAMAGE as error:
        reason = str(error)[:_LONGEST_REASON]
        raise SeglineError(
            f"{archive}: truncated or damaged archive ({reason}); fetch it again, or pack it anew"
        ) from error


def _listed(members: Iterable[Member], archive: Path, folder: Path, most_bytes: int | None) -> _Listed:
    """The files that are no junk; ends at the first one that is too much, since to skip it is to read it."""
    files = []
    free_bytes = shutil.disk_usage(_nearest(folder)).free
    stated_bytes = 0
    for number, member in enumerate(members, 1):
        if number > MOST_MEMBERS:
            raise RefusedError(
                f"holds more than {MOST_MEMBERS} files; give the archive of a Decathlon folder"
            )
        if member.kind is Kind.FOLDER:
            continue
        path = member_path(member.name, str(archive))
        _require_plain(member, archive)
        stated_bytes += member.size_bytes
        if most_bytes is not None and stated_bytes > most_bytes:
            raise RefusedError(f"unpacks to more than {most_bytes / 1e9:.1f} GB, the most; send less")
        _require_room(stated_bytes, free_bytes, folder)
        if not is_junk(path):
            files.append((path, member))
    return files


def _nearest(folder: Path) -> Path:
    return next(parent for parent in folder.absolute().parents if parent.exists())


def _require_plain(member: Member, archive: Path) -> None:
    if member.kind is not Kind.FILE:
        raise RefusedError(f"{member.name!r} is a {member.kind.value}; only plain files are unpacked")
    if member.size_bytes < 0:
        raise RefusedError(f"{member.name!r} states a size of {member.size_bytes} bytes; pack it anew")
    require_fits(member.size_bytes, f"{archive}: {member.name!r}")


def _require_room(stated_bytes: int, free_bytes: int, folder: Path) -> None:
    if stated_bytes > free_bytes:
        raise RefusedError(
            f"unpacks to {stated_bytes / 1e9:.1f} GB or more, {free_bytes / 1e9:.1f} GB are free at "
            f"{folder.parent}; free some disk space"
        )


def _chosen(files: _Listed, archive: Path) -> _Listed:
    """The files of the data set, by their path in it."""
    if not files:
        raise RefusedError("holds no file; give the archive of a Decathlon folder")
    top = _data_set_folder([path for path, _ in files])
    chosen = [(path.relative_to(top), member) for path, member in files if path.is_relative_to(top)]
    require_distinct((path for path, _ in chosen), str(archive))
    return chosen


def _data_set_folder(paths: list[PurePosixPath]) -> PurePosixPath:
    """The shallowest folder with ``dataset.json``; where none has it, the top folder that holds all."""
    described = {path.parent for path in paths if path.name == _DESCRIPTION}
    if not described:
        tops = {PurePosixPath(*path.parent.parts[:1]) for path in paths}
        return tops.pop() if len(tops) == 1 else PurePosixPath()
    depth = min(len(folder.parts) for folder in described)
    first, *others = sorted(folder for folder in described if len(folder.parts) == depth)
    if others:
        raise RefusedError(
            f"holds more than one data set, {str(first)!r} and {str(others[0])!r}; "
            "unpack it and give the folder of one"
        )
    return first


def _write(member: Member, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target:
            for chunk in member.content():
                target.write(chunk)
    except OSError as error:
        raise RefusedError(f"cannot write {member.name!r} ({error.strerror})") from error
