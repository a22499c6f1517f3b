"""Live curves: the points of a training, in a tracker while it goes on."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from segline.model.history import TrainingPoint
from segline.tracking import Tracked, Tracker
from segline.tracking.curves import values_at
from segline.tracking.facts import Facts
from segline.training.listening import Listener

_log = logging.getLogger(__name__)


@contextmanager
def live(tracker: Tracker, facts: Facts, several: bool = False) -> Iterator[Listener]:
    """A listener that shows each point in ``tracker``, all of them by the end of the block.

    A thread of its own sends them, so that the training never waits. A failure is one warning in the log, and
    nothing is sent after it: what is recorded at the end of the run has the curves whole.

    Args:
        tracker: where to.
        facts: of the run's start.
        several: whether networks are trained at once; each has curves of its own then.
    """
    sending = _Sending(tracker, facts, several)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="live-curves") as thread:

        def listen(point: TrainingPoint) -> None:
            thread.submit(sending, point)

        yield listen


class _Sending:
    """Begins the run with the first point."""

    def __init__(self, tracker: Tracker, facts: Facts, several: bool) -> None:
        self._tracker, self._facts, self._several = tracker, facts, several
        self._tracked: Tracked | None = None
        self._failed = False

    def __call__(self, point: TrainingPoint) -> None:
        if self._failed:
            return
        try:
            self._send(point)
        except Exception as error:  # a tracker's client may raise anything; the training goes on
            self._failed = True
            _log.warning("no more live curves of run %s, the training goes on: %s", self._facts.run, error)

    def _send(self, point: TrainingPoint) -> None:
        self._tracked = self._tracked or self._tracker.begin(self._facts)
        self._tracker.add_points(self._tracked, values_at(point, self._facts.started, self._several))
