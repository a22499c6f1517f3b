"""Live curves: the points of a training, in trackers while it goes on; and the end of what was begun."""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from threading import Thread

from segline.model.history import TrainingPoint
from segline.tracking import Tracked, Tracker
from segline.tracking.curves import values_at
from segline.tracking.facts import Facts
from segline.training.listening import Listener

LONGEST_END_S = 10.0
"""For which the end of a training waits for all trackers together, and so does the report."""
_AFTER_CTRL_C_S = 1.0
_log = logging.getLogger(__name__)


@contextmanager
def live(trackers: Mapping[str, Tracker], facts: Facts, several: bool = False) -> Iterator[Listener]:
    """A listener that shows each point in all ``trackers``.

    Each has a thread of its own, so that the training never waits but at the end of the block, for
    :data:`LONGEST_END_S` at most. A failure is one warning in the log, and nothing is sent there after it:
    what is recorded at the end of the run has the curves whole.

    Args:
        trackers: where to, by their names for people.
        facts: of the run's start.
        several: whether networks are trained at once; each has curves of its own then.
    """
    told = "no more live curves of run %s in %s, the training goes on: %s"
    shown = [
        (_Aside(name, facts.title, told), _Shown(each, facts, several)) for name, each in trackers.items()
    ]

    def listen(point: TrainingPoint) -> None:
        for aside, curves in shown:
            aside.do(partial(curves.add, point))

    failed, patience_s = True, LONGEST_END_S
    try:
        yield listen
        failed = False
    except KeyboardInterrupt:
        patience_s = _AFTER_CTRL_C_S
        raise
    finally:
        for aside, curves in shown:
            aside.do(partial(curves.leave, failed))
        _await([aside for aside, _ in shown], patience_s)


def finish(runs: Sequence[tuple[Mapping[str, Tracker], Facts]]) -> None:
    """End what was begun of each run in its trackers, for :data:`LONGEST_END_S` at most.

    A failure is one warning in the log for each tracker.
    """
    asides: dict[str, _Aside] = {}
    for trackers, facts in runs:
        for name, tracker in trackers.items():
            if name not in asides:
                asides[name] = _Aside(name, facts.title, "run %s is not ended in %s: %s")
            asides[name].do(partial(tracker.finish, facts))
    _await(asides.values(), LONGEST_END_S)


class _Aside:
    """Does one thing after the other in a thread of its own, until one fails.

    The interpreter does not wait for the thread, as it would for one of a pool.
    """

    def __init__(self, name: str, run: str, told: str) -> None:
        self._name, self._run, self._told = name, run, told
        self._to_do: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._failed = False
        self._thread = Thread(target=self._work, daemon=True, name=f"tracker {name}")
        self._thread.start()

    def do(self, work: Callable[[], None]) -> None:
        self._to_do.put(work)

    def end(self) -> None:
        """Nothing more is to be done."""
        self._to_do.put(None)

    def wait(self, longest_s: float) -> None:
        """Until all is done; what takes longer is given up, and told."""
        self._thread.join(max(longest_s, 0.0))
        if self._thread.is_alive():
            self._fail("it takes too long to answer")

    def _work(self) -> None:
        while work := self._to_do.get():
            if self._failed:
                continue
            try:
                work()
            except Exception as error:  # a tracker's client may raise anything; the training goes on
                self._fail(error)

    def _fail(self, why: object) -> None:
        if not self._failed:
            self._failed = True
            _log.warning(self._told, self._run, self._name, why)


class _Shown:
    """The curves of one training in one tracker; the run is begun with the first point."""

    def __init__(self, tracker: Tracker, facts: Facts, several: bool) -> None:
        self._tracker, self._facts, self._several = tracker, facts, several
        self._tracked: Tracked | None = None

    def add(self, point: TrainingPoint) -> None:
        self._tracked = self._tracked or self._tracker.begin(self._facts)
        self._tracker.add_points(self._tracked, values_at(point, self._facts.started, self._several))

    def leave(self, failed: bool) -> None:
        if self._tracked:
            self._tracker.leave(self._tracked, failed)


def _await(asides: Collection[_Aside], longest_s: float) -> None:
    for aside in asides:
        aside.end()
    until = time.monotonic() + longest_s
    for aside in asides:
        aside.wait(until - time.monotonic())
