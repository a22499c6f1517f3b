"""OpenVINO: the exported graph compiled for the CPU; the CPU's counterpart of TensorRT."""

import torch
from torch import Tensor

from segline.backends import Precision, onnx_runtime
from segline.errors import SeglineError
from segline.machine import as_device
from segline.model import Model


class OpenVinoBackend:
    """The graph compiled for this CPU, in float32."""

    name = "openvino"
    precision: Precision = "float32"

    def __init__(self, model: Model, device: str) -> None:
        if device != "auto" and as_device(device).type != "cpu":
            raise SeglineError(f"openvino: runs on the CPU, not on {device}; use cpu")
        try:
            import openvino
        except ImportError as error:
            raise SeglineError(
                f"openvino: cannot be imported ({error}); pip install 'segline[openvino]'"
            ) from error
        model.sidecar()
        # without the hint, OpenVINO computes in bfloat16 where the CPU can
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        compiled = openvino.Core().compile_model(str(model.onnx), "CPU", settings)
        self._request = compiled.create_infer_request()
        self.version = f"openvino {openvino.__version__.split('-')[0]} CPU"

    def __call__(self, windows: Tensor) -> Tensor:
        """``(B, C, x, y, z)`` to ``(B, K, x, y, z)``, on the caller's device."""
        results = self._request.infer({onnx_runtime.INPUT: windows.contiguous().cpu().numpy()})
        return torch.from_numpy(results[onnx_runtime.OUTPUT].copy()).to(windows.device)


def open_backend(model: Model, device: str) -> OpenVinoBackend:
    """Compile the exported graph of a package.

    Raises:
        SeglineError: OpenVINO is not installed, the device is not the CPU, or the graph is missing or not the
            package's own.
    """
    return OpenVinoBackend(model, device)
