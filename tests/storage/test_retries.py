"""Patience with a server that fails."""

import time

import pytest

from segline.storage.retries import Patience


def tries(patience: Patience, most: int = 100) -> int:
    for number in range(1, most + 1):
        try:
            patience.wait(OSError("refused"), "s3://bucket/a")
        except OSError:
            return number
    return most


def test_patience_ends_with_the_error_at_its_limit() -> None:
    started = time.monotonic()
    assert 3 <= tries(Patience(1.0)) <= 8
    assert 1.0 <= time.monotonic() - started < 5


def test_pauses_grow() -> None:
    patience, lasted = Patience(10), []
    for _ in range(3):
        started = time.monotonic()
        patience.wait(OSError(), "s3://bucket/a")
        lasted.append(time.monotonic() - started)
    assert lasted[0] >= 0.1 and lasted[2] >= 0.4


def test_work_that_got_on_starts_afresh() -> None:
    patience = Patience(0.3)
    tries(patience)
    patience.renew()
    patience.wait(OSError(), "s3://bucket/a")


def test_no_patience_tries_once() -> None:
    with pytest.raises(OSError, match="refused"):
        Patience(0).wait(OSError("refused"), "s3://bucket/a")
