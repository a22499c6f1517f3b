"""Refusals of runtimes: whatever they raise over a graph is the graph's fault, told in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from segline.common.errors import SeglineError

_SHOWN = 200
"""Characters of what a runtime says; OpenVINO writes pages."""


@contextmanager
def readable_refusals(told: str) -> Iterator[None]:
    """Turn what a runtime raises within the block into one line that begins with ``told``.

    Raises:
        SeglineError: the runtime raised anything but a ``MemoryError``.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # each runtime has exceptions of its own, and none a common base
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = lines[-1][:_SHOWN] if lines else type(error).__name__
        raise SeglineError(f"{told}: {why}; run export_onnx again, or choose another backend") from error
