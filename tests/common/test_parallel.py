"""Many items at a time."""

import threading
import time

import pytest

from segline.common.parallel import in_parallel, tell_each


def test_every_item_is_done_in_several_threads_at_once() -> None:
    together = threading.Barrier(3, timeout=5)
    assert sorted(in_parallel(lambda _: together.wait(), [1, 2, 3], threads=3)) == [1, 2, 3]


def test_nothing_to_do_is_done() -> None:
    assert list(in_parallel(print, [], threads=3)) == []


def test_the_first_error_ends_it() -> None:
    done: list[int] = []

    def work(item: int) -> None:
        done.append(item)
        time.sleep(0.002)
        if item == 2:
            raise ValueError(item)

    with pytest.raises(ValueError, match="2"):
        list(in_parallel(work, range(100), threads=1))
    assert len(done) < 100


def test_what_gets_done_is_told() -> None:
    told: list[tuple[float, str]] = []
    assert list(tell_each(iter("ab"), 2, "files", lambda *words: told.append(words))) == ["a", "b"]
    assert told == [(0.5, "1 of 2 files"), (1.0, "2 of 2 files")]
