"""``python -m segline.cli`` is the command too."""

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress

from segline.cli.main import main
from segline.common.lean import LEAN


def start() -> int:
    """The command in a process of its own."""
    os.environ.setdefault(LEAN, "1")
    gc.set_threshold(100_000, 20, 100)  # what is imported stays
    status = main()
    if all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        _leave(status)
    return status


def _leave(status: int) -> None:
    """End without taking apart what ends with the process anyway: PyTorch and OpenVINO need half a second."""
    with suppress(OSError):  # a closed pipe, a full disk: Python's own end tells of it
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(start())
