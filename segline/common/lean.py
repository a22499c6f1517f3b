"""Imports without what a package would like to have and segline never calls, in segline's own processes.

MONAI imports all of itself, and with it ignite, pandas, scikit-learn, Matplotlib and MLflow where they are
installed; nibabel imports pydicom with all its decoders: seconds, in every process. Elsewhere nothing is
hidden: whoever imports segline may use the rest of those packages, too.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LEAN = "SEGLINE_LEAN"
"""In the environment of each process that is segline's own: of the command, of stages, and in the images."""


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
