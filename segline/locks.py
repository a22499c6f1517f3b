"""Locks between processes of one machine; the kernel lets go of them when a process dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segline.errors import SeglineError


@contextmanager
def exclusive(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file ``path``, which stays.

    Raises:
        SeglineError: the folder cannot be written or, with ``wait`` false, another process holds the lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
    except OSError as error:
        raise SeglineError(
            f"{path.parent}: cannot be written ({error.strerror}); choose another store"
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise SeglineError(
                f"{path}: another process is at the same work; wait for it, or end it and start again"
            ) from None
        yield
