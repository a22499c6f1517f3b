"""Mirrors: local folders that follow what lies in an object store, whoever wrote it there."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.common.parallel import in_parallel, tell_each
from segline.common.progress import Progress, silent
from segline.storage.archives import inner_path, is_junk
from segline.storage.objects import StoredObject
from segline.storage.store import FOLDER_MARKER, Store

_INDEX = ".s3-index.json"
_INDEX_EVERY = 50
_LAST = "dataset.json"


def mirror(store: Store, folder: Path, progress: Progress = silent) -> None:
    """Make ``folder`` hold every object of ``store``; ``dataset.json`` comes last.

    Files of the size and ETag of the last time are kept. The caller sees to it that nobody else writes
    ``folder`` meanwhile.

    Raises:
        SeglineError: nothing lies in the store, a key leads out of ``folder``, or as :meth:`Store.get_file`.
    """
    wanted = {item.key: item for item in store.listed() if _is_data(item.key, store.uri)}
    if not wanted:
        raise SeglineError(f"{store.uri}: nothing lies under this prefix; correct the address")
    index = _Index.of(folder)
    index.forget(index.etags.keys() - wanted.keys())
    missing = [name for name, item in wanted.items() if not index.has(item)]
    # A mirror that was cut short must not look like a data set.
    first, last = [name for name in missing if name != _LAST], [name for name in missing if name == _LAST]

    def fetch(name: str) -> None:
        store.get_file(name, folder / name)
        index.etags[name] = wanted[name].etag

    done = chain(in_parallel(fetch, first, store.threads), in_parallel(fetch, last, 1))
    try:
        for number, _ in enumerate(tell_each(done, len(missing), "objects", progress), 1):
            if number % _INDEX_EVERY == 0:
                index.write()
    finally:
        index.write()


@dataclass(frozen=True)
class _Index:
    """Which content each file of a mirror had when it was fetched."""

    folder: Path
    etags: dict[str, str]

    @classmethod
    def of(cls, folder: Path) -> "_Index":
        try:
            read = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            return cls(folder, {str(name): str(etag) for name, etag in read.items()})
        except (OSError, ValueError, AttributeError):
            # Without an index all is fetched again.
            return cls(folder, {})

    def has(self, item: StoredObject) -> bool:
        path = self.folder / item.key
        same = self.etags.get(item.key) == item.etag
        return same and path.is_file() and path.stat().st_size == item.size_bytes

    def forget(self, names: Iterable[str]) -> None:
        for name in list(names):
            (self.folder / name).unlink(missing_ok=True)
            del self.etags[name]

    def write(self) -> None:
        atomic.write_text(self.folder / _INDEX, json.dumps(dict(self.etags), indent=1, sort_keys=True))


def _is_data(key: str, where: str) -> bool:
    return not is_junk(inner_path(key, where)) and not key.endswith(FOLDER_MARKER)
