"""Runs in an object store: a stage works in a folder of its own, which follows the run's and is sent back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from segline.common.documents.names import RUN
from segline.common.parallel import do_all
from segline.runs.run import Run
from segline.storage.access import Access, is_uri
from segline.storage.store import Store

OpenRun = Callable[[str | Path, Access], AbstractContextManager[Run]]
"""Either of these two."""


def open_run(location: str | Path, access: Access) -> AbstractContextManager[Run]:
    """The run at a folder, at ``s3://bucket/prefix``, or of a name in the bucket of ``access``.

    In a bucket, no more of it is fetched than what was asked for.

    There, what the block adds to the run, replaces and removes is sent back when it ends, also with an error;
    a stage's record from its beginning, so that one which is killed is known.

    Args:
        location: of the run.
        access: how to reach the object store.

    Raises:
        SeglineError: the store cannot be reached or refuses.
    """
    return _opened(location, access, lambda _: [RUN])


def open_whole_run(location: str | Path, access: Access) -> AbstractContextManager[Run]:
    """The same, with all that the run has come to."""
    return _opened(location, access, lambda store: [item.key for item in store.listed()])


@contextmanager
def _opened(location: str | Path, access: Access, wanted: Callable[[Store], Sequence[str]]) -> Iterator[Run]:
    place = access.run_at(location)
    if not is_uri(place):
        yield Run(Path(place), access)
        return
    store = access.store(place)
    with TemporaryDirectory(prefix="segline-run-") as scratch:
        folder = Path(scratch)
        do_all(lambda name: _bring(store, name, folder), wanted(store), store.threads)
        before = _files(folder)
        try:
            yield Run(folder, access, lambda name: store.put_file(folder / name, name))
        finally:
            after = _files(folder)
            do_all(store.delete, list(before.keys() - after.keys()), store.threads)
            changed = [name for name, state in after.items() if before.get(name) != state]
            do_all(lambda name: store.put_file(folder / name, name), changed, store.threads)


def _bring(store: Store, name: str, folder: Path) -> None:
    if store.stat(name):
        store.get_file(name, folder / name)


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Path of each file to when it was written and its size."""
    files = {path.relative_to(folder).as_posix(): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (status.st_mtime_ns, status.st_size) for name, status in files.items()}
