import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from segline.common.errors import SeglineError
from segline.serving.models import batching
from segline.serving.models.batching import SharedNetwork, best_batch


class Recorder:
    """A network whose scores say which window they are of; it waits to be let go the first time."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.begun, self.may_go = threading.Event(), threading.Event()

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        self.batches.append(tuple(windows.shape))
        self.begun.set()
        assert self.may_go.wait(10)
        if bool((windows < 0).any()):
            raise SeglineError("a negative window")
        return np.concatenate([windows, -windows], axis=1)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def shared(recorder: Recorder) -> Iterator[SharedNetwork]:
    network = SharedNetwork(recorder, most=4)
    yield network
    recorder.may_go.set()
    network.close()


def window(value: float, size: int = 2) -> np.ndarray:
    return np.full((1, 1, size, size, size), value, np.float32)


def asked_together(shared: SharedNetwork, recorder: Recorder, windows: list[np.ndarray]) -> list[object]:
    """What is answered to windows that wait while the network is busy with a first one."""
    with ThreadPoolExecutor(len(windows) + 1) as pool:
        first = pool.submit(shared, window(99.0, 3))
        assert recorder.begun.wait(10)
        others = []
        for one in windows:
            others.append(pool.submit(shared, one))
            while len(shared._waiting) < len(others):
                pass
        recorder.may_go.set()
        first.result()
        return [other.exception() or other.result() for other in others]


def test_windows_of_one_shape_share_a_batch_and_each_gets_its_own(
    shared: SharedNetwork, recorder: Recorder
) -> None:
    scores = asked_together(shared, recorder, [window(float(k)) for k in range(6)])
    assert [float(one[0, 0, 0, 0, 0]) for one in scores] == [0, 1, 2, 3, 4, 5]
    assert [shape[0] for shape in recorder.batches] == [1, 4, 2]


def test_windows_of_other_shapes_do_not(shared: SharedNetwork, recorder: Recorder) -> None:
    scores = asked_together(shared, recorder, [window(1.0), window(2.0, 4), window(3.0)])
    assert [one.shape[-1] for one in scores] == [2, 4, 2]
    assert [shape[0] for shape in recorder.batches] == [1, 2, 1]


def test_a_volume_at_fault_fails_alone(shared: SharedNetwork, recorder: Recorder) -> None:
    good, bad, other = asked_together(shared, recorder, [window(1.0), window(-1.0), window(2.0)])
    assert isinstance(bad, SeglineError)
    assert float(good[0, 0, 0, 0, 0]) == 1 and float(other[0, 0, 0, 0, 0]) == 2


def test_scores_may_be_overwritten_by_whom_they_are_for(shared: SharedNetwork, recorder: Recorder) -> None:
    first, second = asked_together(shared, recorder, [window(1.0), window(2.0)])
    first[...] = 0
    assert float(second[0, 0, 0, 0, 0]) == 2


def test_the_best_batch_is_the_one_that_takes_the_least_time_a_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(batching, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def slow_to_begin(windows: np.ndarray) -> np.ndarray:
        now[0] += 0.02 + (0.02 * len(windows) if len(windows) > 4 else 0)
        return windows

    assert best_batch(slow_to_begin, 1, (2, 2, 2), (1, 2, 4, 8)) == 4

    def each_alike(windows: np.ndarray) -> np.ndarray:
        now[0] += 0.01 * len(windows)
        return windows

    assert best_batch(each_alike, 1, (2, 2, 2), (1, 2)) == 1


def test_batches_larger_than_one_that_takes_long_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    now, tried = [0.0], list[int]()
    monkeypatch.setattr(batching, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def long(windows: np.ndarray) -> np.ndarray:
        now[0] += 0.3 * len(windows) + (1.0 if len(windows) not in tried else 0)
        tried.append(len(windows))
        return windows

    assert best_batch(long, 1, (2, 2, 2), (1, 2, 4, 8)) == 1
    assert tried == [1, 1, 1, 1, 2, 2]
