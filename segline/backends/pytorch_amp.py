"""PyTorch with automatic mixed precision: float16 on a CUDA device."""

from typing import TYPE_CHECKING

from segline.common.errors import UnavailableError
from segline.machine.devices import chosen_device, usable_device
from segline.model.package import Model

if TYPE_CHECKING:
    from segline.backends.pytorch import PyTorchBackend


def open_backend(model: Model, device: str) -> "PyTorchBackend":
    """Load the weights of a package.

    Raises:
        UnavailableError: there is no CUDA device: a CPU is slower in float16.
        SeglineError: the device cannot be used here, or the weights are damaged or of another plan.
    """
    if chosen_device(device).type != "cuda":
        raise UnavailableError("pytorch_amp: runs on an NVIDIA GPU; use pytorch on a CPU")
    from segline.backends.pytorch import PyTorchBackend

    return PyTorchBackend("pytorch_amp", "float16", model, usable_device(device))
