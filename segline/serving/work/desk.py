"""The desk: a bounded queue, a few workers, and as much memory as may be used."""

import logging
import math
import threading
import time
from collections import deque
from dataclasses import dataclass

from segline.common.errors import SeglineError, plain_error
from segline.serving.models.live import LiveModel
from segline.serving.work.answering import answer
from segline.serving.work.job import CancelledError, Job, Status

_log = logging.getLogger(__name__)
_FIRST_GUESS_S = 2.0
_WEIGHT = 0.1
"""Of the newest job in the mean of how long one takes."""
_LONGEST_WAIT_S = 120


class BusyError(SeglineError):
    """The queue is full.

    Attributes:
        retry_after_s: when it is worth asking again.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooLargeError(SeglineError):
    """No answer fits into the memory that may be used."""


@dataclass(frozen=True)
class Limits:
    """What may be at work."""

    workers: int = 2
    """Volumes at work at once: the next is prepared beside the network of this one."""
    waiting: int = 32
    """Volumes that wait for a worker."""
    memory_bytes: float = math.inf
    """For all volumes at work, as estimated before they are read."""


class Desk:
    """Takes jobs in, has them answered in their order, and knows how long that takes."""

    def __init__(self, live: LiveModel, limits: Limits) -> None:
        self.live = live
        self.limits = limits
        self._waiting: deque[Job] = deque()
        self._running: set[str] = set()
        self._used_bytes = 0.0
        self._mean_s = _FIRST_GUESS_S
        self._changed = threading.Condition()
        self._open, self._accepting = True, True
        self._threads = [
            threading.Thread(target=self._work, name=f"segline-worker-{number}", daemon=True)
            for number in range(limits.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that no worker has begun."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs that a worker is at."""
        return len(self._running)

    @property
    def used_bytes(self) -> float:
        """Memory that is reserved for the jobs at work."""
        return self._used_bytes

    @property
    def retry_after_s(self) -> int:
        """Seconds until a place in the queue may be free."""
        ahead = (len(self._waiting) + 1) * self._mean_s / self.limits.workers
        return max(1, min(_LONGEST_WAIT_S, math.ceil(ahead)))

    def submit(self, job: Job) -> None:
        """Let a job wait for its turn.

        Raises:
            TooLargeError: it would take more memory than all may.
            BusyError: the queue is full, or closes.
        """
        if job.sent.needs_bytes > self.limits.memory_bytes:
            needs, most = job.sent.needs_bytes / 1e9, self.limits.memory_bytes / 1e9
            raise TooLargeError(
                f"the volume would take {needs:.2f} GB of memory, {most:.2f} GB may be used; "
                "send a part of it, or let the server use more"
            )
        with self._changed:
            if not self._accepting:
                raise BusyError("the server shuts down; ask another, or again", self.retry_after_s)
            if len(self._waiting) >= self.limits.waiting:
                raise BusyError(f"{len(self._waiting)} volumes wait already; ask again", self.retry_after_s)
            self._waiting.append(job)
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Stop a job where it is; nothing is done to one that has ended."""
        with self._changed:
            job.cancelled = True
            if job in self._waiting:
                self._waiting.remove(job)
                job.end(Status.CANCELLED)
                self._changed.notify_all()

    def drain(self, longest_s: float) -> bool:
        """Take nothing in and wait until all that was is answered; whether it was in time."""
        with self._changed:
            self._accepting = False
            return self._changed.wait_for(lambda: not self._waiting and not self._running, longest_s)

    def close(self) -> None:
        """Cancel what is left, and end the workers."""
        with self._changed:
            self._open = self._accepting = False
            left = list(self._waiting)
            self._changed.notify_all()
        for job in left:
            self.cancel(job)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while job := self._next():
            start = time.monotonic()
            try:
                self._serve(job)
            finally:
                self._end(job, time.monotonic() - start)

    def _next(self) -> Job | None:
        """The first job, once its memory is free; none after the end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open or self._first_fits())
            if not self._open:
                return None
            job = self._waiting.popleft()
            self._running.add(job.id)
            self._used_bytes += job.sent.needs_bytes
            job.status = Status.RUNNING
            return job

    def _first_fits(self) -> bool:
        if not self._waiting:
            return False
        needs = self._waiting[0].sent.needs_bytes
        return self._used_bytes + needs <= self.limits.memory_bytes or not self._running

    def _serve(self, job: Job) -> None:
        try:
            with self.live.in_use() as (served, network):
                answer(job, served, network)
        except CancelledError:
            job.end(Status.CANCELLED)
        except Exception as error:  # a defect fails one job, and never the worker
            readable = plain_error(error)
            if not isinstance(readable, SeglineError):
                _log.exception("job %s: a defect", job.id)
                readable = SeglineError("the server failed at this volume; its log says more")
            job.end(Status.FAILED, str(readable))
        else:
            job.end(Status.DONE)

    def _end(self, job: Job, took_s: float) -> None:
        with self._changed:
            self._running.discard(job.id)
            self._used_bytes -= job.sent.needs_bytes
            self._mean_s += _WEIGHT * (took_s - self._mean_s)
            self._changed.notify_all()
