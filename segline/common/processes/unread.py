"""What a program prints where nobody reads it any more: a pager that was left, a terminal that was closed."""

import os
import select
from contextlib import suppress
from typing import TextIO


def unread(stream: TextIO) -> bool:
    """Whether ``stream`` is a pipe, or the like, that has no reader any more."""
    poll = select.poll()
    poll.register(stream, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def silence(stream: TextIO) -> None:
    """Let all that is still to be written to ``stream``, a file's, go nowhere, and without an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def tell(line: str) -> None:
    """Write a line to standard error past Python's streams, which may be in the middle of one."""
    with suppress(OSError):  # nobody can be told
        os.write(2, f"{line}\n".encode())
