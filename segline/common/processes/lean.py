"""Imports without what a package would like to have and segline never calls, in segline's own processes.

MONAI imports all of itself, and with it ignite, pandas, scikit-learn, Matplotlib and MLflow where they are
installed; nibabel imports pydicom with all its decoders: seconds, in every process. Elsewhere nothing is
hidden: whoever imports segline may use the rest of those packages, too.
"""

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from segline.common.processes.unread import silence, unread

LEAN = "SEGLINE_LEAN"
"""In the environment of each process that is segline's own: of the command, of stages, and in the images."""
_LEFT = 128 + signal.SIGPIPE


def run(main: Callable[[], int]) -> int:
    """The exit status of a program whose process is segline's own, as are those that it starts.

    The process ends here, at once: to take apart what ends with it anyway takes seconds. Returns where
    something would be lost: another thread works, or what was printed cannot be written. Whoever read it may
    leave early, as ``head`` does: the program ends there without a word, as if by SIGPIPE.
    """
    os.environ.setdefault(LEAN, "1")
    gc.set_threshold(100_000, 20, 100)  # what is imported stays
    try:
        status = main()
        _flush(sys.stdout)
    except BrokenPipeError:
        if not unread(sys.stdout):
            raise
        silence(sys.stdout)
        status = _LEFT
    if all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        with suppress(OSError):  # a full disk: Python's own end tells of it
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return status


def _flush(stream: TextIO) -> None:
    """Write what is left, to whoever reads it; of a full disk Python's own end tells."""
    try:
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError:
        pass


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Packages that are not imported yet cannot be in the block, as if they were not installed."""
    missing = [name for name in names if name not in sys.modules] if os.environ.get(LEAN) else []
    sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]  # None is what import refuses
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
