"""Windows of several volumes that go through the network together, where that is faster."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from segline.common.arrays import CPU, Array, functions_for, placed
from segline.common.errors import SeglineError
from segline.imaging.geometry import Shape
from segline.inference.stitching import WindowScorer

_ROUNDS = 3
_LONG_S = 0.5
"""A server that is ready half a minute sooner is worth more than what such batches could still gain."""
_WORTH = 1.05
"""A larger batch must be that much faster a window: it makes its first windows wait for the last."""


@dataclass(eq=False)
class _Asked:
    windows: Array
    scores: "Future[Array]" = field(default_factory=Future)


class SharedNetwork:
    """A network for many threads: one batch at a time, of windows of one shape.

    Answers are the same to whom they go alone or together, but for the rounding of the network's runtime in
    batches of another size.
    """

    def __init__(self, network: WindowScorer, most: int = 1) -> None:
        self.device = getattr(network, "device", CPU)
        self.most = most
        self._network = network
        self._waiting: deque[_Asked] = deque()
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="segline-network", daemon=True)
        self._thread.start()

    def __call__(self, windows: Array) -> Array:
        """Class scores of windows ``(B, C, x, y, z)``, once it is their turn.

        Raises:
            SeglineError: the network cannot answer, or is closed.
        """
        asked = _Asked(windows)
        with self._changed:
            if not self._open:
                raise SeglineError("the model was closed; ask again")
            self._waiting.append(asked)
            self._changed.notify()
        return asked.scores.result()

    def close(self) -> None:
        """Answer what waits, and nothing more."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._answer(batch)
            except BaseException as error:  # whoever waits must hear of it, whatever it is
                self._fail(batch, error)

    def _next(self) -> list[_Asked]:
        """The first that waits, and others of its shape as far as they fit; none after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._open)
            if not self._waiting:
                return []
            batch = [self._waiting.popleft()]
            shape, room = batch[0].windows.shape[1:], self.most - len(batch[0].windows)
            for asked in list(self._waiting):
                if asked.windows.shape[1:] == shape and len(asked.windows) <= room:
                    self._waiting.remove(asked)
                    batch.append(asked)
                    room -= len(asked.windows)
            return batch

    def _answer(self, batch: Sequence[_Asked]) -> None:
        windows = [asked.windows for asked in batch]
        xp = functions_for(windows[0])
        scores, first = self._network(xp.concat(windows) if len(windows) > 1 else windows[0]), 0
        for asked in batch:
            part = scores[first : first + len(asked.windows)]
            asked.scores.set_result(xp.asarray(part, copy=True) if len(batch) > 1 else part)
            first += len(asked.windows)

    def _fail(self, batch: Sequence[_Asked], error: BaseException) -> None:
        """One volume's windows may be at fault: each is asked alone before all are refused."""
        for asked in batch:
            if asked.scores.done():
                continue
            try:
                if len(batch) == 1:
                    raise error
                asked.scores.set_result(self._network(asked.windows))
            except BaseException as own:
                asked.scores.set_exception(own)


def best_batch(network: WindowScorer, channels: int, window: Shape, sizes: Sequence[int]) -> int:
    """Which of ``sizes`` takes the least time a window here; the smallest where it makes no difference.

    Timed on noise, each size a few times, the fastest counts; once before, for what a runtime does for a new
    shape. A batch that takes long fills the machine: larger ones are not tried.
    """
    if len(sizes) == 1:
        return sizes[0]
    rng = np.random.default_rng(0)
    best, best_s = sizes[0], float("inf")
    for size in sizes:
        windows = placed(rng.random((size, channels, *window), np.float32), getattr(network, "device", CPU))
        network(windows)
        took = _seconds(network, windows)
        if took < _LONG_S:
            took = min(took, *(_seconds(network, windows) for _ in range(_ROUNDS - 1)))
        if took / size * _WORTH < best_s:
            best, best_s = size, took / size
        if took >= _LONG_S:
            break
    return best


def _seconds(network: WindowScorer, windows: Array) -> float:
    start = time.perf_counter()
    network(windows)
    return time.perf_counter() - start
