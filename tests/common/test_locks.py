"""Locks between processes and threads."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.common.locks import exclusive, exclusive_at_once, exclusive_for_once

Hold = Callable[[Path], AbstractContextManager[None]]


@pytest.mark.parametrize(("hold", "stays"), [(exclusive, True), (exclusive_for_once, False)])
def test_one_at_a_time_holds_a_lock(tmp_path: Path, hold: Hold, stays: bool) -> None:
    inside: list[int] = []
    most = 0

    def work(number: int) -> None:
        nonlocal most
        for _ in range(20):
            with hold(tmp_path / "lock"):
                inside.append(number)
                most = max(most, len(inside))
                time.sleep(0.0005)
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert (tmp_path / "lock").exists() == stays


def test_who_will_not_wait_is_told(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "lock"),
        pytest.raises(SeglineError, match="another process is at the same work"),
        exclusive_at_once(tmp_path / "lock"),
    ):
        pass


def test_an_error_lets_go_of_the_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyError), exclusive_for_once(tmp_path / "lock"):
        raise KeyError
    with exclusive_at_once(tmp_path / "lock"):
        pass
