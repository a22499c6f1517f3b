"""Work in a process of its own: its memory is measured alone, and a crash ends no other."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import ParamSpec, TypeVar

from segline.common.errors import SeglineError
from segline.common.processes.forks import (
    deaf_to_ctrl_c,
    end_with_parent,
    ending_in_words,
    exit_status,
    forks,
    start,
)

Given = ParamSpec("Given")
Result = TypeVar("Result")

_SECONDS_TO_END = 10
"""Some runtimes never return from their clean-up."""


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
        start(process)
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        status = exit_status(process, _SECONDS_TO_END)
        raise SeglineError(f"{name}: {ending_in_words(status)}") from None
    finally:
        if exit_status(process, _SECONDS_TO_END) is None:
            process.kill()
        receiver.close()
    if isinstance(answer, SeglineError):
        raise answer
    result: Result = answer
    return result


def _answer(sender: Connection, work: Callable[..., object], given: tuple, named: dict) -> None:
    end_with_parent()
    try:
        sender.send(work(*given, **named))
    except SeglineError as error:
        sender.send(error)
