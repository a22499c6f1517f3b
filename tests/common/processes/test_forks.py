import gc
import os
from multiprocessing.connection import Connection

from segline.common.processes.forks import forks


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
