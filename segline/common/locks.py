"""Locks between processes of one machine; the kernel lets go of them when a process dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from segline.common.errors import SeglineError


@contextmanager
def exclusive(path: Path, wait: bool = True, stays: bool = True) -> Iterator[None]:
    """Hold the lock file ``path``; with ``stays`` false it is removed at the end.

    Raises:
        SeglineError: the folder cannot be written or, with ``wait`` false, another process holds the lock.
    """
    while True:
        with _opened(path) as stream:
            _hold(stream, path, wait)
            # Who held the lock before may have removed the file, which then locks nobody else out.
            if _is_at(stream, path):
                try:
                    yield
                finally:
                    if not stays:
                        path.unlink(missing_ok=True)
                return


def _opened(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError as error:
        raise SeglineError(
            f"{path.parent}: cannot be written ({error.strerror}); choose another store"
        ) from error


def _hold(stream: TextIO, path: Path, wait: bool) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise SeglineError(
            f"{path}: another process is at the same work; wait for it, or end it and start again"
        ) from None


def _is_at(stream: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
