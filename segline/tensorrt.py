"""TensorRT engines: built where there is an NVIDIA GPU, and nowhere else."""

from pathlib import Path

from segline.errors import SeglineError
from segline.machine import nvidia_driver_missing
from segline.model import Model
from segline.runs import StageSkippedError


def build_tensorrt(model: Model, folder: Path) -> None:
    """Build an engine of the exported graph into ``folder``.

    Raises:
        StageSkippedError: this machine has no NVIDIA GPU.
        SeglineError: it has one, but engines are not built by this version.
    """
    missing = nvidia_driver_missing()
    if missing:
        raise StageSkippedError(missing)
    raise SeglineError(f"build_tensorrt: {model.onnx}: this version cannot build into {folder} yet")
