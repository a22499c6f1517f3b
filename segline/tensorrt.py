"""TensorRT engines: built where there is an NVIDIA GPU, and nowhere else."""

from pathlib import Path

from segline.errors import UnavailableError
from segline.machine import nvidia_driver_missing
from segline.model import Model


def build_tensorrt(model: Model, folder: Path) -> None:
    """Build an engine of the exported graph into ``folder``.

    Raises:
        SeglineError: the package has no graph to build from.
        UnavailableError: this machine has no NVIDIA GPU, or it has one, but this version builds no engines.
    """
    model.sidecar()
    missing = nvidia_driver_missing()
    if missing:
        raise UnavailableError(missing)
    raise UnavailableError(f"this version of segline builds no engines yet; {folder} stays empty")
