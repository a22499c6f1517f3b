"""ONNX Runtime, silenced: by itself it keeps an id of the device and sends events home."""

import os
from types import ModuleType


def import_onnxruntime() -> ModuleType:
    """The package, whose telemetry is off whoever imports it first.

    Raises:
        ImportError: it is not installed, or cannot be loaded.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    loaded: ModuleType = onnxruntime
    return loaded
