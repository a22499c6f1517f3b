import gc
import os
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

from segline.common.processes.forks import exit_status, forks, start


def look(sender: Connection) -> None:
    sender.send((os.getppid(), gc.isenabled(), gc.get_freeze_count(), len(gc.get_objects())))


def test_what_was_imported_is_not_looked_through_for_garbage_in_a_fork() -> None:
    context = forks(__name__)
    receiver, sender = context.Pipe(duplex=False)
    started = [context.Process(target=look, args=(sender,)) for _ in range(2)]
    for process in started:
        process.start()
    (first, enabled, frozen, rest), (second, *_) = receiver.recv(), receiver.recv()
    for process in started:
        process.join()
    assert enabled and frozen > 20 * rest
    assert first == second != os.getpid()


def statuses(count: int) -> list[int | None]:
    """Of so many processes, one after another, each of which ends with 3."""
    context, found = forks(__name__), []
    for _ in range(count):
        process = context.Process(target=os._exit, args=(3,))
        start(process)
        found.append(exit_status(process))
    return found


def test_how_a_process_ended_is_known_although_others_start_and_end_beside_it() -> None:
    with ThreadPoolExecutor(6) as beside:
        assert {status for found in beside.map(statuses, [30] * 6) for status in found} == {3}


def test_a_process_that_has_not_ended_in_time_has_no_status_yet() -> None:
    context = forks(__name__)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=receiver.recv)
    start(process)
    assert exit_status(process, 0.2) is None
    sender.send("end")
    assert exit_status(process) == 0
