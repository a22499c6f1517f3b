"""Several processes as one."""

import os
import signal
import time
from typing import Any

import pytest
import torch

from segline.common.errors import SeglineError
from segline.training.ranks import ALONE, Ranks, Tell, in_ranks


def add_up(ranks: Ranks, tell: Tell, scale: float) -> None:
    number = torch.tensor([scale * (ranks.rank + 1)], requires_grad=True)
    total = ranks.add_up(number)
    (gradient,) = torch.autograd.grad(total.sum(), number)
    share = list(ranks.share(range(5)))
    tell((ranks.rank, float(total.detach()), float(gradient), ranks.agree(10.0 + ranks.rank), share))


def fail(ranks: Ranks, _: Tell, how: str) -> None:
    if ranks.rank == 1:
        if how == "told":
            raise SeglineError("rank 1: a bad\ncase; remove it")
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "defect":
            raise ZeroDivisionError("planted")
    ranks.add_up(torch.ones(1))
    time.sleep(60)


def test_sums_gradients_and_the_clock_are_shared() -> None:
    told: list[Any] = []
    in_ranks("test", 2, told.append, add_up, 2.0)
    assert sorted(told) == [(0, 6.0, 2.0, 10.0, [0, 2, 4]), (1, 6.0, 2.0, 10.0, [1, 3])]


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("told", "rank 1: a bad case; remove it"),
        ("killed", "train: rank 1 was ended by SIGKILL, perhaps for lack of memory"),
    ],
)
def test_the_first_failure_ends_all_with_its_line(how: str, line: str) -> None:
    started = time.monotonic()
    with pytest.raises(SeglineError) as caught:
        in_ranks("train", 2, lambda _: None, fail, how)
    assert str(caught.value) == line
    assert time.monotonic() - started < 40


def test_a_defect_keeps_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SeglineError, match="train: rank 1 met a defect"):
        in_ranks("train", 2, lambda _: None, fail, "defect")
    assert "ZeroDivisionError: planted" in capfd.readouterr().err


def test_alone_nothing_is_exchanged() -> None:
    number = torch.ones(3)
    assert ALONE.add_up(number) is number
    assert ALONE.agree(2.5) == 2.5
    assert ALONE.share([1, 2, 3]) == [1, 2, 3]
