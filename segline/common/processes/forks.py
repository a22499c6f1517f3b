"""Processes that are forks of one which imports once what each would import."""

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess

_LONGEST_TEMPORARY = 107 - len("/pymp-12345678/listener-12345678")
"""Of a socket's name 107 bytes are left; the rest is what Python calls it."""
_asked = threading.Lock()
"""Python asks every process for its end when it starts another, and in two threads loses what one is told."""


def forks(*modules: str) -> ForkServerContext | SpawnContext:
    """Processes that are forks of one which has imported ``modules`` and done nothing else.

    What is imported once is not waited for, nor held in memory, again. That one is started for the first who
    asks for any in this process; the environment variables of all are those of then. It is reached by a
    socket below the folder for temporary files: where the name of that is too long, each process imports
    for itself.
    """
    if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_TEMPORARY:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.frozen", *modules])
    return context


def start(process: BaseProcess) -> None:
    """Start a process whose end is for :func:`exit_status` to find, whatever other threads start and end."""
    with _asked:
        process.start()


def exit_status(process: BaseProcess, timeout_s: float | None = None) -> int | None:
    """How a process of :func:`start` ended, once it has: minus the number of a signal; ``None`` in time."""
    wait([process.sentinel], timeout_s)
    with _asked:
        return process.exitcode


def ending_in_words(status: int | None) -> str:
    """What became of a process that did not do its work, and what to do.

    >>> ending_in_words(-11)
    'its process was ended by SIGSEGV: a crash; its messages above may say why'
    """
    if status == -signal.SIGKILL:
        return "its process was killed, perhaps for lack of memory; allow more memory"
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        return f"its process was ended by {name}: a crash; its messages above may say why"
    return f"its process ended with status {status}; its messages above say why"


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that start in the block do not hear of Ctrl-C, which a terminal sends to every process.

    It is for the command, which ends them; here it waits for the end of the block.
    """
    resource_tracker.ensure_running()  # its own start would let the signal through
    blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)


def end_with_parent() -> None:
    """Let this process end when the one that started it is killed, which can then end nothing itself."""
    threading.Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
