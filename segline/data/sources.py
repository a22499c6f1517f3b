"""Where data sets come from: every source ends as a folder on this machine."""

import errno
import hashlib
import re
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from segline.common.digests import file_chunks, md5_of_chunks, sha256_of_file
from segline.common.errors import SeglineError
from segline.common.locks import exclusive
from segline.common.progress import Progress, silent
from segline.data import iseg
from segline.data.phantom import catalogue as phantom
from segline.storage.archives import SUFFIXES, archive_stem, unpack
from segline.storage.mirrors import mirror
from segline.storage.objects import MissingObjectError
from segline.storage.s3_settings import S3Settings
from segline.storage.store import Store, open_store

_DECATHLON = re.compile(r"(?:msd:)?(Task\d\d_\w+)")
_MEDNIST = "MedNIST"
_UNDERSTOOD = (
    f"{phantom.UNDERSTOOD}; a Medical Segmentation Decathlon task such as Task09_Spleen; {_MEDNIST}; a "
    "folder with dataset.json, or of folders, one a class or a case; a "
    f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file; s3://bucket/prefix"
)
_TIMEOUT_S = 60
_CHUNK_BYTES = 1 << 20
_NAME_DIGITS = 12
_LONGEST_STEM = 50
"""Letters, of up to four bytes: with digits and suffix a file name takes 255 bytes."""


def fetch(source: str, store: Path, s3: S3Settings | None = None, progress: Progress = silent) -> Path:
    """Bring a data set to this machine; what is here already is not fetched again.

    Args:
        source: ``phantom``, ``phantom:24``, ``phantom:24:7`` (cases, seed), and so ``phantom-heart``,
            ``phantom-brain`` and ``phantom-iseg``, or ``phantom-brain:24:7:0.5`` (and a scale: half as many
            voxels along each axis); ``Task09_Spleen`` or
            ``msd:Task09_Spleen``, and ``MedNIST``, downloaded; a folder, used in place (``./Task09_Spleen``
            where its name is a task's), but that of iSeg-2017, whose Analyze pairs are converted; an archive
            (``.zip``, or ``.tar``, plain or compressed by gzip, xz or bzip2); ``s3://bucket/prefix``, a
            folder or archive.
        store: folder for what is fetched; ``datasets``, ``downloads`` and ``locks`` appear in it.
        s3: how to reach the object store of ``s3://`` sources.
        progress: called while something is downloaded.

    Returns:
        The absolute path of a Decathlon folder, or of one with a folder a class, not verified yet.

    Raises:
        SeglineError: the source is not understood, cannot be reached, or is damaged.
    """
    store = store.absolute()
    if phantom.is_one(source):
        return _of_subjects(phantom.written(source, store), store)
    if decathlon := _DECATHLON.fullmatch(source):
        return _decathlon_task(decathlon[1], store, progress)
    if source == _MEDNIST:
        return _mednist(store, progress)
    if source.startswith("s3://"):
        return _from_s3(source, store, s3, progress)
    path = Path(source.removeprefix("file://"))
    if source and _is_here(path):
        if path.is_dir():
            return _of_subjects(path.absolute(), store)
        if path.is_file() and archive_stem(path.name):
            return _from_archive(path, store)
    raise SeglineError(f"{source!r}: no such data source; understood are {_UNDERSTOOD}")


def fetch_archive(url: str, md5: str, name: str, store: Path, progress: Progress = silent) -> Path:
    """Download a tar file and unpack it to ``store/datasets/name``; the tar file is not kept.

    Raises:
        SeglineError: as :func:`download` and :func:`segline.storage.archives.unpack`.
    """
    folder = store / "datasets" / name
    with exclusive(store / "locks" / f"{name}.lock"):
        if not folder.is_dir():
            archive = store / "downloads" / f"{name}.tar"
            download(url, archive, md5, progress)
            unpack(archive, folder)
            archive.unlink()
    return folder


def download(url: str, path: Path, md5: str, progress: Progress = silent) -> None:
    """Download a file; an interrupted one continues where it stopped, from ``<path>.part``.

    A cut connection is taken up again at once for as long as bytes keep coming.

    Raises:
        SeglineError: the server refuses or cannot be reached, or the file's MD5 is not ``md5``.
    """
    if path.is_file() and _md5(path) == md5:
        return
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    while not _continued(url, part, progress):
        pass
    got = _md5(part)
    if got != md5:
        part.unlink()
        raise SeglineError(f"{url}: expected MD5 {md5}, got {got}; the file there is another, or run again")
    part.replace(path)


def _continued(url: str, part: Path, progress: Progress) -> bool:
    """Whether the file is complete now; False where the connection was cut after some bytes."""
    before = _size_bytes(part)
    request = Request(url, headers={"Range": f"bytes={before}-"} if before else {})
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as response:
            _receive(response, part, progress)
    except HTTPError as error:
        # Nothing lies beyond the part: its MD5 tells whether it is the whole file.
        if error.code == 416 and before:
            return True
        problem = f"{url}: the server answers {error.code} {error.reason}; check the address or try later"
        raise SeglineError(problem) from error
    except (OSError, HTTPException) as error:
        if _size_bytes(part) <= before:
            reason = error.reason if isinstance(error, URLError) else error
            raise SeglineError(f"{url}: cannot be downloaded ({reason}); run again to go on") from error
        return False
    return True


def _receive(response: HTTPResponse, part: Path, progress: Progress) -> None:
    continues = response.status == 206
    left = response.length
    with part.open("ab" if continues else "wb") as target:
        total = target.tell() + left if left is not None else None
        while chunk := response.read(_CHUNK_BYTES):
            target.write(chunk)
            if total:
                done = target.tell()
                progress(done / total, f"{part.stem}: {done / 1e6:.0f} of {total / 1e6:.0f} MB")
        if total is not None and target.tell() < total:
            raise ConnectionError(f"cut after {target.tell()} of {total} bytes")


def _is_here(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _md5(path: Path) -> str:
    return md5_of_chunks(file_chunks(path))


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _decathlon_task(task: str, store: Path, progress: Progress) -> Path:
    from segline.networks.lean_monai import monai

    known_tasks = monai.apps.DecathlonDataset
    if task not in known_tasks.resource:
        known = ", ".join(known_tasks.resource)
        raise SeglineError(f"{task}: no such task; the Decathlon has {known}; write ./{task} for a folder")
    return fetch_archive(known_tasks.resource[task], known_tasks.md5[task], task, store, progress)


def _of_subjects(root: Path, store: Path) -> Path:
    """A folder as it is, or what the Analyze pairs in it are converted to."""
    return _iseg(root, store) if iseg.has_subjects(root) else root


def _iseg(root: Path, store: Path) -> Path:
    name = f"iseg-{iseg.content_of(root)[:_NAME_DIGITS]}"
    folder = store / "datasets" / name
    with exclusive(store / "locks" / f"{name}.lock"):
        if not folder.is_dir():
            iseg.convert(root, folder)
    return folder


def _mednist(store: Path, progress: Progress) -> Path:
    from segline.networks.lean_monai import monai

    known = monai.apps.MedNISTDataset
    return fetch_archive(known.resource, known.md5, _MEDNIST, store, progress)


def _from_archive(archive: Path, store: Path) -> Path:
    stem = (archive_stem(archive.name) or "")[:_LONGEST_STEM]
    name = f"{stem}-{sha256_of_file(archive)[:_NAME_DIGITS]}"
    folder = store / "datasets" / name
    with exclusive(store / "locks" / f"{name}.lock"):
        if not folder.is_dir():
            unpack(archive, folder)
    return folder


def _from_s3(uri: str, store: Path, settings: S3Settings | None, progress: Progress) -> Path:
    bucket, _, key = uri.removeprefix("s3://").strip("/").partition("/")
    if archive_stem(key):
        return _archive_from_s3(open_store(f"s3://{bucket}", settings), key, store)
    name = f"s3-{_short_digest(f'{bucket}/{key}')}"
    with exclusive(store / "locks" / f"{name}.lock"):
        mirror(open_store(uri, settings), store / "datasets" / name, progress)
    return store / "datasets" / name


def _archive_from_s3(objects: Store, key: str, store: Path) -> Path:
    file = objects.stat(key)
    if file is None:
        raise MissingObjectError(f"{objects.uri}/{key}")
    where = f"{objects.uri.removeprefix('s3://')}/{key}"
    name = f"s3-{_short_digest(f'{where} {file.etag}')}"
    folder = store / "datasets" / name
    with exclusive(store / "locks" / f"{name}.lock"):
        if not folder.is_dir():
            archive = store / "downloads" / f"{name}.archive"
            objects.get_file(key, archive)
            try:
                unpack(archive, folder)
            finally:
                archive.unlink()
    return folder


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_NAME_DIGITS]
