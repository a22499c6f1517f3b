"""The one kind of exception a user is meant to read."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager


class SeglineError(Exception):
    """Bad input or an impossible request, told in one line: what was wrong, where, and what to do.

    Entry points print the line and exit with a status other than 0; any other exception is a defect of
    segline and keeps its traceback.
    """

    def __str__(self) -> str:
        return " ".join(str(self.args[0]).split()) if self.args else "unknown error"


class UnavailableError(SeglineError):
    """What was asked for cannot be had on this machine or of this model, with the reason.

    A stage of a pipeline is skipped with it; who asked for that very thing reads it as an error.
    """


class LostDeviceError(SeglineError):
    """A GPU failed under its process, which cannot use it any more; another process may."""


@contextmanager
def imports_of(extra: str, asker: str, raised: type[SeglineError] = SeglineError) -> Iterator[None]:
    """Import here what an extra of segline installs.

    Args:
        extra: its name in ``pyproject.toml``.
        asker: who needs it, or what for.
        raised: :class:`UnavailableError` where it can be done without.

    Raises:
        SeglineError: it is not installed, or cannot be imported, with what to do.
    """
    try:
        yield
    except ImportError as error:
        raise raised(f"{asker}: {error}; pip install 'segline[{extra}]'") from error


def plain_error(error: BaseException) -> BaseException:
    """``error``, or the one line a user needs where its cause is outside segline: a full disk, no memory."""
    if _disk_is_full(error):
        where = getattr(error, "filename", None) or "the disk"
        return SeglineError(
            f"{where}: no space left on the device; free some, or choose another STORE, RUNS or TMPDIR"
        )
    if isinstance(error, PermissionError):
        return SeglineError(f"{error.filename}: permission denied")
    if isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error):
        return SeglineError("no temporary folder can be written to; free some of its disk, or set TMPDIR")
    if isinstance(error, FileNotFoundError):
        return SeglineError(f"{error.filename}: no such file or folder; run the stage that makes it first")
    if type(error).__name__ == "AcceleratorError":  # torch's, which nobody here imports
        return LostDeviceError(f"the GPU failed under the process ({str(error).partition(chr(10))[0]})")
    if isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error):
        return SeglineError("out of memory; lower training.patch_size, batch_size or the number of workers")
    return error


def _disk_is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        # NumPy gives no errno either, and counts items
        short = error.errno is None and re.search(r"\d+ requested and \d+ written", str(error))
        return error.errno in (errno.ENOSPC, errno.EDQUOT) or bool(short)
    # torch.save gives no errno: its zip writer finds that fewer bytes arrived than it wrote
    return isinstance(error, RuntimeError) and any(
        sign in str(error) for sign in ("unexpected pos", "PytorchStreamWriter failed writing")
    )
