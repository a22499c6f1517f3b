"""Locks between processes of one machine; the kernel lets go of them when a process dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from segline.common.errors import SeglineError


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, once nobody else does.

    Raises:
        SeglineError: the folder cannot be written.
    """
    with _held(path, fcntl.LOCK_EX):
        yield


@contextmanager
def exclusive_at_once(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, if nobody else does.

    Raises:
        SeglineError: another process holds it, or the folder cannot be written.
    """
    with _held(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
        yield


@contextmanager
def exclusive_for_once(path: Path) -> Iterator[None]:
    """:func:`exclusive` by a file that is removed at the end: for locks of which there would be thousands.

    Raises:
        SeglineError: the folder cannot be written.
    """
    with _held(path, fcntl.LOCK_EX):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _held(path: Path, how: int) -> Iterator[None]:
    while True:
        with _opened(path) as stream:
            _hold(stream, path, how)
            # Who held the lock before may have removed the file, which then locks nobody else out.
            if _is_at(stream, path):
                yield
                return


def _opened(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError as error:
        raise SeglineError(
            f"{path.parent}: cannot be written ({error.strerror}); choose another store"
        ) from error


def _hold(stream: TextIO, path: Path, how: int) -> None:
    try:
        fcntl.flock(stream, how)
    except BlockingIOError:
        raise SeglineError(
            f"{path}: another process is at the same work; wait for it, or end it and start again"
        ) from None


def _is_at(stream: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
