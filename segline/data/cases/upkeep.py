"""Housekeeping of a depot's preprocessed cases: what is there, whether it is sound, what nobody uses."""

import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.common.wording import counted, in_columns
from segline.data.cases.index import CASES, CaseIndex, case_folder
from segline.storage.depot import Depot
from segline.storage.store import FOLDER_MARKER, folder_contents

_USES = "uses"
_LEAST_AGE = timedelta(days=1)
"""What is younger may be at work: a case whose run has not listed it yet, a file that is being written."""


@dataclass(frozen=True)
class Entry:
    """A preprocessed case in a depot."""

    key: str
    size_bytes: int
    made: datetime
    used: tuple[datetime, ...]
    """When each plan that refers to it was last run, newest first."""

    @property
    def last_wanted(self) -> datetime:
        """When it was made or last used."""
        return max([self.made, *self.used])


def remember_use(index: CaseIndex, depot: Depot) -> None:
    """Note that a plan's run uses these cases, now."""
    depot.store.write(f"{_USES}/{index.plan_digest}.json", index.model_dump_json().encode())


def entries(depot: Depot) -> list[Entry]:
    """Every whole case of the depot, by key.

    Raises:
        SeglineError: the depot cannot be read, or a note of use in it is damaged.
    """
    used = defaultdict(list)
    for note in (depot.store / _USES).listed():
        for key in _read_use(depot, note.key).keys.values():
            used[key].append(note.modified)
    return [
        Entry(folder.key, folder.size_bytes, folder.modified, tuple(sorted(used[folder.key], reverse=True)))
        for folder in (depot.store / CASES).folders()
    ]


def as_table(entries: Sequence[Entry]) -> str:
    """Entries as lines of text."""
    head = ("CASE", "MIB", "MADE", "LAST USED", "PLANS")
    rows = [
        (
            entry.key[:12],
            f"{entry.size_bytes / 2**20:.1f}",
            f"{entry.made:%Y-%m-%d %H:%M}",
            f"{entry.used[0]:%Y-%m-%d %H:%M}" if entry.used else "-",
            str(len(entry.used)),
        )
        for entry in entries
    ]
    total = sum(entry.size_bytes for entry in entries)
    return f"{in_columns([head, *rows])}{counted(len(entries), 'case')}, {total / 2**20:.1f} MiB\n"


def damaged(depot: Depot, progress: Progress = silent) -> Iterator[tuple[str, str]]:
    """Read every byte of every case again.

    Yields:
        Key of each entry that is not what was stored, and what is wrong with it.

    Raises:
        SeglineError: the depot cannot be reached.
    """
    folders = (depot.store / CASES).folders()
    for number, folder in enumerate(folders, 1):
        if fault := _fault(depot, case_folder(folder.key)):
            yield folder.key, fault
        progress(number / len(folders), f"{number} of {len(folders)} cases read")


def remove(depot: Depot, key: str) -> None:
    """Remove an entry; the next run that needs it computes it again."""
    depot.store.delete_folder(case_folder(key))
    shutil.rmtree(depot.path(case_folder(key)), ignore_errors=True)


def unused(depot: Depot, age: timedelta) -> list[Entry]:
    """The cases that no run has made or used for ``age``, a day or more, and longer than any run takes.

    Raises:
        SeglineError: less than a day, or the depot cannot be reached.
    """
    if age < _LEAST_AGE:
        raise SeglineError("unused for less than a day: runs may still need such cases; give a day or more")
    before = datetime.now(UTC) - age
    return [entry for entry in entries(depot) if entry.last_wanted < before]


def collect_garbage(depot: Depot, age: timedelta) -> list[Entry]:
    """Remove what is :func:`unused`, and what broken work has left; others may use the depot meanwhile.

    Returns:
        The entries that were removed.

    Raises:
        SeglineError: less than a day, or the depot cannot be reached.
    """
    old, before = unused(depot, age), datetime.now(UTC) - age
    for note in (depot.store / _USES).listed():
        if note.modified < before:
            depot.store.delete(f"{_USES}/{note.key}")
    for entry in old:
        remove(depot, entry.key)
    _sweep(depot)
    return old


def _read_use(depot: Depot, name: str) -> CaseIndex:
    key = f"{_USES}/{name}"
    try:
        return CaseIndex.model_validate_json(depot.store.read(key))
    except ValidationError as error:
        raise SeglineError(f"{(depot.store / key).uri}: not a list of cases; remove it") from error


def _fault(depot: Depot, key: str) -> str:
    try:
        if depot.is_remote:
            with TemporaryDirectory() as scratch:
                depot.store.get_folder(key, Path(scratch, "case"))
        elif folder_contents(depot.path(key)) != depot.store.contents(key):
            return "not what was written; a disk may be failing"
    except SeglineError as error:
        return str(error)
    return ""


def _sweep(depot: Depot) -> None:
    """Remove cases of which only a part was stored, and scratch that killed processes have left."""
    before = datetime.now(UTC) - _LEAST_AGE
    part = depot.store / CASES
    listed = part.listed()
    whole = {item.key.partition("/")[0] for item in listed if item.key.endswith(FOLDER_MARKER)}
    for item in listed:
        if item.key.partition("/")[0] not in whole and item.modified < before:
            part.delete(item.key)
    for path in depot.folder.rglob(f"{atomic.SCRATCH}*"):
        if path.stat().st_mtime < time.time() - _LEAST_AGE.total_seconds():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
