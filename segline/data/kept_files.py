"""A data set's files in a depot, by content: a manifest is all that other machines need to have them."""

from collections.abc import Sequence
from pathlib import Path

from segline.common.parallel import do_all
from segline.common.progress import Progress, silent
from segline.data.manifest import FileEntry, Manifest
from segline.storage.access import Access, is_uri
from segline.storage.archives import inner_path
from segline.storage.depot import Depot

_SHORT = 12


def keep_dataset(depot: Depot, manifest: Manifest, progress: Progress = silent) -> Manifest:
    """Send the files that the depot does not have; one that many data sets share is there once.

    Returns:
        The manifest, whose root is the depot's URI; as it was for a depot on this machine, where data sets
        are used in place.

    Raises:
        SeglineError: as :class:`segline.storage.store.Store`.
    """
    if not depot.is_remote:
        return manifest
    there = {item.key for item in (depot.store / "files").listed()}
    missing = {file.sha256: file for file in _files(manifest) if file.sha256 not in there}

    def send(sha256: str) -> None:
        depot.store.put_file(Path(manifest.root, missing[sha256].path), _key(missing[sha256]))

    do_all(send, missing, depot.store.threads, "files stored", progress)
    return manifest.model_copy(update={"root": depot.store.uri})


def bring_dataset(
    manifest: Manifest, access: Access | None, names: Sequence[str] | None = None, progress: Progress = silent
) -> Manifest:
    """Have the files of some cases on this machine; of all by default.

    Args:
        manifest: whose root may be a depot's URI.
        access: how to reach that depot; None where the files are here anyway.
        names: of the cases.
        progress: called after each file.

    Returns:
        The manifest, whose root is a folder here. The files of other cases need not be in it.

    Raises:
        SeglineError: as :class:`segline.storage.store.Store`, or a name is not in the manifest.
    """
    if access is None or not is_uri(manifest.root):
        return manifest
    depot = access.depot(manifest.root)
    folder = depot.path(f"datasets/{manifest.digest[:_SHORT]}")
    files = {folder / inner_path(file.path, manifest.root): file for file in _files(manifest, names)}
    missing = [path for path in files if not path.is_file()]

    def fetch(path: Path) -> None:
        depot.store.get_file(_key(files[path]), path, files[path].sha256)

    do_all(fetch, missing, depot.store.threads, "files fetched", progress)
    return manifest.model_copy(update={"root": str(folder)})


def _files(manifest: Manifest, names: Sequence[str] | None = None) -> list[FileEntry]:
    cases = manifest.cases if names is None else manifest.named(names)
    return [file for case in cases for file in case.files]


def _key(file: FileEntry) -> str:
    return f"files/{file.sha256}"
