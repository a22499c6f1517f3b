"""PyTorch: the reference, with BatchNorm folded."""

import torch

from segline.backends import Precision
from segline.common.arrays import Array, as_tensor, like
from segline.machine.devices import usable_device
from segline.model.package import Model
from segline.networks.folding import folded
from segline.networks.running import channels_last, infer
from segline.networks.weights import load_network


class PyTorchBackend:
    """The folded network on the CPU or a CUDA device, in float32 or, by autocast, float16."""

    def __init__(self, name: str, precision: Precision, model: Model, device: torch.device) -> None:
        self.name, self.precision, self.device = name, precision, str(device)
        self._device = device
        self.version = f"torch {torch.__version__} on {device}"
        self._network = channels_last(folded(load_network(model.weights, model.plan)).to(device))

    def __call__(self, windows: Array) -> Array:
        """``(B, C, x, y, z)`` to ``(B, K, x, y, z)`` or ``(B, K)``, where the caller's are."""
        kind = self._device.type
        with torch.autocast(kind, torch.float16, enabled=self.precision == "float16"):
            scores = infer(self._network, as_tensor(windows, self.device))
        return like(scores.to(torch.float32).contiguous(), windows)


def open_backend(model: Model, device: str) -> PyTorchBackend:
    """Load the weights of a package.

    Raises:
        SeglineError: the device cannot be used here, or the weights are damaged or of another plan.
    """
    return PyTorchBackend("pytorch", "float32", model, usable_device(device))
