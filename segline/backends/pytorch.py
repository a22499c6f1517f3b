"""PyTorch: the reference, with BatchNorm folded."""

import torch
from torch import Tensor

from segline.backends import Precision
from segline.machine import usable_device
from segline.model import Model
from segline.networks import channels_last, fold_batch_norm, infer, load_network


class PyTorchBackend:
    """The folded network on the CPU or a CUDA device, float32."""

    name = "pytorch"
    precision: Precision = "float32"

    def __init__(self, model: Model, device: str) -> None:
        self._device = usable_device(device)
        self.version = f"torch {torch.__version__} on {self._device}"
        self._network = channels_last(
            fold_batch_norm(load_network(model.weights, model.plan)).to(self._device)
        )

    def __call__(self, windows: Tensor) -> Tensor:
        """``(B, C, x, y, z)`` to ``(B, K, x, y, z)``, on the caller's device."""
        return infer(self._network, windows.to(self._device)).to(windows.device).contiguous()


def open_backend(model: Model, device: str) -> PyTorchBackend:
    """Load the weights of a package.

    Raises:
        SeglineError: the device cannot be used here, or the weights are damaged or of another plan.
    """
    return PyTorchBackend(model, device)
