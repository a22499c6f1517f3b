"""The live model: which version answers now, and how the next one takes its place."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from segline.common.errors import SeglineError, plain_error
from segline.serving.models.batching import SharedNetwork, best_batch
from segline.serving.models.served import Served

_SIZES, _MOST_BYTES = (1, 2, 4, 8), 2e9
_log = logging.getLogger(__name__)


class Candidate(NamedTuple):
    """The version that should answer, whether or not it does."""

    name: str
    load: Callable[[], Served]
    """Bring it here, open it and prove it."""


Source = Callable[[], Candidate]
"""Says which version should answer now, as an alias does."""


class _Running:
    """A served model with its network's thread, closed after its last use."""

    def __init__(self, served: Served) -> None:
        plan = served.plan
        self.served = served
        together = best_batch(
            served.backend, len(plan.channels), plan.inference.largest_window, _sizes(served)
        )
        self.network = SharedNetwork(served.backend, together)
        self.uses = 0
        self.retired = False


def _sizes(served: Served) -> list[int]:
    """Batches that are worth trying: up to eight of the plan's windows, as far as they take little memory."""
    one = served.batch_bytes / served.plan.inference.batch_size
    return [size for size in _SIZES if size == 1 or size * one < _MOST_BYTES]


class LiveModel:
    """One version that answers; another takes its place between two answers, and none is lost."""

    def __init__(self, served: Served) -> None:
        self._lock = threading.Lock()
        self._running = _Running(served)
        self._refused = ""
        self.swaps, self.refusals = 0, 0
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def served(self) -> Served:
        """The version that answers now."""
        return self._running.served

    @property
    def shared_batch(self) -> int:
        """The most windows that go through the network at once."""
        return self._running.network.most

    @contextmanager
    def in_use(self) -> Iterator[tuple[Served, SharedNetwork]]:
        """The version that answers now, which stays open for the block."""
        with self._lock:
            running = self._running
            running.uses += 1
        try:
            yield running.served, running.network
        finally:
            with self._lock:
                running.uses -= 1
                over = running.retired and not running.uses
            if over:
                running.network.close()

    def swap(self, served: Served) -> None:
        """Let another version answer whatever begins from now on."""
        new = _Running(served)
        with self._lock:
            old, self._running = self._running, new
            old.retired = True
            over = not old.uses
            self.swaps += 1
        if over:
            old.network.close()
        _log.warning("%s answers now, in place of %s", served.name, old.served.name)

    def look(self, source: Source) -> None:
        """Swap in the version that should answer, where it is another; one that is not fit is told once."""
        candidate = source()
        if candidate.name in (self.served.name, self._refused):
            self._refused = "" if candidate.name == self.served.name else self._refused
            return
        try:
            self.swap(candidate.load())
            self._refused = ""
        except Exception as error:
            readable = plain_error(error)
            if not isinstance(readable, SeglineError):
                raise
            self.refusals += 1
            self._refused = candidate.name
            _log.error("%s stays: %s is not fit: %s", self.served.name, candidate.name, readable)

    def watch(self, source: Source, every_s: float) -> None:
        """Look at ``source`` now and then, in a thread of its own, until :meth:`close`."""
        self._watcher = threading.Thread(
            target=self._watch, args=(source, every_s), name="segline-alias", daemon=True
        )
        self._watcher.start()

    def close(self) -> None:
        """End the watching; whoever uses the model goes on."""
        self._stop.set()

    def _watch(self, source: Source, every_s: float) -> None:
        told = ""
        while not self._stop.wait(every_s):
            try:
                self.look(source)
                told = ""
            except Exception as error:  # the registry may be away; who answers now goes on
                readable = str(plain_error(error))
                if readable != told:
                    _log.warning("the registry cannot be asked, %s stays: %s", self.served.name, readable)
                told = readable
