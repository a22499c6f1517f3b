"""Imports without what a package would like to have and segline never calls, in segline's own processes.

MONAI imports all of itself, and with it ignite, pandas, scikit-learn, Matplotlib and MLflow where they are
installed; nibabel imports pydicom with all its decoders: seconds, in every process. Elsewhere nothing is
hidden: whoever imports segline may use the rest of those packages, too.
"""

import atexit
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LEAN = "SEGLINE_LEAN"
"""In the environment of each process that is segline's own: of the command, of stages, and in the images."""


def begin() -> None:
    """This process is segline's own, and so are those that it starts."""
    os.environ.setdefault(LEAN, "1")
    gc.set_threshold(100_000, 20, 100)  # what is imported stays


def end(status: int) -> None:
    """End at once: to take apart what ends with the process anyway takes seconds.

    Returns where something would be lost: another thread works, or what was printed cannot be written.
    """
    if all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        with suppress(OSError):  # a closed pipe, a full disk: Python's own end tells of it
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


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
