"""PyTorch: the reference, with BatchNorm folded."""

import torch
from torch import Tensor

from segline.backends import Precision
from segline.machine.devices import usable_device
from segline.model.package import Model
from segline.networks.folding import fold_batch_norm
from segline.networks.running import channels_last, infer
from segline.networks.weights import load_network


class PyTorchBackend:
    """The folded network on the CPU or a CUDA device, in float32 or, by autocast, float16."""

    def __init__(self, name: str, precision: Precision, model: Model, device: torch.device) -> None:
        self.name, self.precision, self.device = name, precision, device
        self.version = f"torch {torch.__version__} on {device}"
        self._network = channels_last(fold_batch_norm(load_network(model.weights, model.plan)).to(device))

    def __call__(self, windows: Tensor) -> Tensor:
        """``(B, C, x, y, z)`` to ``(B, K, x, y, z)`` or ``(B, K)``, on the caller's device."""
        with torch.autocast(self.device.type, torch.float16, enabled=self.precision == "float16"):
            scores = infer(self._network, windows.to(self.device))
        return scores.to(windows.device, torch.float32).contiguous()


def open_backend(model: Model, device: str) -> PyTorchBackend:
    """Load the weights of a package.

    Raises:
        SeglineError: the device cannot be used here, or the weights are damaged or of another plan.
    """
    return PyTorchBackend("pytorch", "float32", model, usable_device(device))
