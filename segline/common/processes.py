"""Work in a process of its own: its memory is measured alone, and a crash ends no other."""

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import ParamSpec, TypeVar

from segline.common.errors import SeglineError

Given = ParamSpec("Given")
Result = TypeVar("Result")

_SECONDS_TO_END = 10
"""Some runtimes never return from their clean-up."""
_LONGEST_TEMPORARY = 107 - len("/pymp-12345678/listener-12345678")
"""Of a socket's name 107 bytes are left; the rest is what Python calls it."""


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
    context.set_forkserver_preload([*modules])
    return context


def in_own_process(
    name: str, work: Callable[Given, Result], *given: Given.args, **named: Given.kwargs
) -> Result:
    """What ``work`` returns in a process of its own, which is ended with this one; all of it must pickle.

    Raises:
        SeglineError: ``work``'s own; or the process, called ``name``, crashed, was killed, or met a defect,
            whose traceback it printed.
    """
    context = forks(work.__module__)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, work, given, named))
    with deaf_to_ctrl_c():
        process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        process.join(_SECONDS_TO_END)
        raise SeglineError(f"{name}: {_ending(process.exitcode)}") from None
    finally:
        process.join(_SECONDS_TO_END)
        process.kill()
        receiver.close()
    if isinstance(answer, SeglineError):
        raise answer
    result: Result = answer
    return result


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


def _answer(sender: Connection, work: Callable[..., object], given: tuple, named: dict) -> None:
    end_with_parent()
    try:
        sender.send(work(*given, **named))
    except SeglineError as error:
        sender.send(error)


def _ending(exit_code: int | None) -> str:
    """Why there is no answer, and what to do.

    >>> _ending(-11)
    'its process was ended by SIGSEGV: a crash; its messages above may say why'
    """
    if exit_code == -signal.SIGKILL:
        return "its process was killed, perhaps for lack of memory; allow more memory"
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return f"its process was ended by {name}: a crash; its messages above may say why"
    return f"its process ended with status {exit_code} and no answer; its messages above say why"
