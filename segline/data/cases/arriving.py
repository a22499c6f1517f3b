"""Cases that come from an object store while a training is at work, ahead of the steps that need them."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, overload

from segline.data.cases.case import Case, CasesOnDisk
from segline.data.cases.index import CASES, CaseIndex, case_folder
from segline.storage.access import Access, is_uri


class CaseSource(Protocol):
    """What gives cases by name; goes to other processes, so it must pickle."""

    def open(self, names: Sequence[str]) -> Sequence[Case]:
        """The named cases."""


_AT_ONCE = 4
"""Cases; the files of each come side by side, too."""


@dataclass(frozen=True)
class ArrivingIndex:
    """An index whose cases are fetched as they are expected, in the background; each process has its own."""

    index: CaseIndex
    """Of cases in an object store."""
    access: Access

    def open(self, names: Sequence[str]) -> "ArrivingCases":
        """The named cases; nothing of them needs to be here.

        Raises:
            SeglineError: a name is not in the index.
        """
        keys = tuple(self.index.key_of(name) for name in names)
        folder = self.access.depot(self.index.root).path(CASES)
        here = CasesOnDisk([(name, folder / key) for name, key in zip(names, keys, strict=True)])
        return ArrivingCases(here, keys, self._arrivals)

    def __reduce__(self) -> tuple[object, ...]:
        # threads cannot go to another process: it starts its own
        return ArrivingIndex, (self.index, self.access)

    @cached_property
    def _arrivals(self) -> "_Arrivals":
        depot = self.access.depot(self.index.root)
        return _Arrivals(lambda key: depot.bring_folder(case_folder(key)))


@dataclass(frozen=True)
class ArrivingCases(Sequence[Case]):
    """Cases of which one that is not here yet is waited for; those that are expected come in that order.

    Raises:
        SeglineError: by indexing, where a case cannot be fetched.
    """

    here: CasesOnDisk
    """The cases, where they will be."""
    keys: Sequence[str]
    arrivals: "_Arrivals"

    def expect(self, numbers: Iterable[int]) -> None:
        """Have these come next, after all that was expected before."""
        self.arrivals.expect(self.keys[number] for number in numbers)

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Case: ...

    @overload
    def __getitem__(self, index: slice) -> "ArrivingCases": ...

    def __getitem__(self, index: "int | slice") -> "Case | ArrivingCases":
        if isinstance(index, slice):
            return ArrivingCases(CasesOnDisk(self.here.places[index]), self.keys[index], self.arrivals)
        self.arrivals.wait(self.keys[index])
        return self.here[index]


def source_of(index: CaseIndex, access: Access) -> CaseSource:
    """The cases of an index, wherever they are."""
    return ArrivingIndex(index, access) if is_uri(index.root) else index


def expect(cases: Sequence[Case], numbers: Iterable[int]) -> None:
    """Say which cases will be wanted next, in which order; nothing where all are here anyway."""
    if isinstance(cases, ArrivingCases):
        cases.expect(numbers)


class _Arrivals:
    """What comes, by key; threads that end when nothing more is expected, or with the process."""

    def __init__(self, bring: Callable[[str], object]) -> None:
        self._bring = bring
        self._lock = threading.Lock()
        self._coming: dict[str, Future[None]] = {}
        self._queue: deque[str] = deque()
        self._threads = 0

    def expect(self, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                if key not in self._coming:
                    self._coming[key] = Future()
                    self._queue.append(key)
            self._start_threads()

    def wait(self, key: str) -> None:
        """Until it is here; it comes before all that is only expected."""
        with self._lock:
            known = self._coming.get(key)
            if known is None:
                known = self._coming[key] = Future()
                self._queue.appendleft(key)
            elif not known.done() and key in self._queue:
                self._queue.remove(key)
                self._queue.appendleft(key)
            self._start_threads()
        known.result()

    def _start_threads(self) -> None:
        for _ in range(min(_AT_ONCE, self._threads + len(self._queue)) - self._threads):
            self._threads += 1
            threading.Thread(target=self._work, name="arriving-cases", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._threads -= 1
                    return
                key = self._queue.popleft()
            try:
                self._bring(key)
            except BaseException as error:
                self._coming[key].set_exception(error)
            else:
                self._coming[key].set_result(None)
