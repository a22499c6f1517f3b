"""MONAI, whose import brings all of it; whoever needs some of it takes it from here."""

from typing import Any

from segline.common.processes.lean import hidden

_NEVER_CALLED = ("ignite", "matplotlib", "mlflow", "pandas", "pydicom", "scipy.signal", "skimage", "sklearn")

with hidden(*_NEVER_CALLED, "tensorboard"):
    import monai as _monai

monai: Any = _monai
"""Its parts are there without imports of their own."""
