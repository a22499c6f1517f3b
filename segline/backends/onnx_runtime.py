"""ONNX Runtime: the exported graph, without PyTorch's network code."""

import torch
from torch import Tensor

from segline.errors import SeglineError
from segline.model import Model

INPUT, OUTPUT = "windows", "scores"


class OnnxRuntimeBackend:
    """A session on exactly the provider asked for: a missing GPU is an error, never a silent CPU run."""

    name = "onnxruntime"

    def __init__(self, model: Model, device: str) -> None:
        import onnxruntime

        model.sidecar()
        provider = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise SeglineError(f"onnxruntime: this build has no {provider}; install onnxruntime-gpu")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        if provider != "CPUExecutionProvider":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        self._session = onnxruntime.InferenceSession(model.onnx, options, providers=[provider])
        active = self._session.get_providers()[0]
        if active != provider:
            raise SeglineError(f"onnxruntime: asked for {provider}, got {active}; no usable GPU")
        self.version = f"onnxruntime {onnxruntime.__version__} {provider}"

    def __call__(self, windows: Tensor) -> Tensor:
        """``(B, C, x, y, z)`` to ``(B, K, x, y, z)``, on the caller's device."""
        (scores,) = self._session.run([OUTPUT], {INPUT: windows.contiguous().cpu().numpy()})
        return torch.from_numpy(scores).to(windows.device)


def open_backend(model: Model, device: str) -> OnnxRuntimeBackend:
    """Open the exported graph of a package."""
    return OnnxRuntimeBackend(model, device)
