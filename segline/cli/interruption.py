"""Ctrl-C in a command: it ends with its workers, in one line."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STATUS = 130


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the workers too, for as long as the block lasts.

    Raises:
        KeyboardInterrupt: there was one.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for worker in multiprocessing.active_children():
        worker.kill()
    raise KeyboardInterrupt
