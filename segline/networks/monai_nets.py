"""MONAI's networks, imported without what the rest of MONAI would like to have.

``import monai`` imports all of it, and with it ignite, pandas, Matplotlib, scikit-learn and MLflow where they
are installed: seconds, in every process, for nothing that segline calls. In processes that are segline's own,
which :data:`LEAN` in the environment tells, these are hidden meanwhile, as if they were not installed.
Elsewhere they are not: whoever imports segline may use the rest of MONAI, too.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LEAN = "SEGLINE_LEAN"
"""Set by whatever starts a process of segline: the command, a run, and the images."""
_HIDDEN = ("ignite", "matplotlib", "mlflow", "pandas", "skimage", "sklearn", "tensorboard")


@contextmanager
def _hidden() -> Iterator[None]:
    """What is not imported yet cannot be within the block; MONAI takes it for not installed."""
    hidden = [name for name in _HIDDEN if name not in sys.modules] if os.environ.get(LEAN) else []
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is what import refuses
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _hidden():
    from monai.networks import nets

__all__ = ["LEAN", "nets"]
