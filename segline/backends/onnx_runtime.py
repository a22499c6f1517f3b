"""ONNX Runtime: the exported graph, without PyTorch's network code."""

from typing import Any

import numpy as np

from segline.backends import Precision
from segline.backends.refusals import readable_refusals
from segline.common.arrays import CPU, Array, as_numpy, as_tensor, like
from segline.common.errors import SeglineError, imports_of
from segline.machine.devices import as_device, default_device
from segline.machine.nvidia import nvidia_driver_missing
from segline.machine.onnx_runtime import import_onnxruntime
from segline.machine.processor import threads_asked
from segline.model.package import Model

INPUT, OUTPUT = "windows", "scores"


class OnnxRuntimeBackend:
    """A session on exactly the provider asked for: a missing GPU is an error, never a silent CPU run."""

    name = "onnxruntime"
    precision: Precision = "float32"

    def __init__(self, model: Model, device: str) -> None:
        with imports_of("onnx", self.name):
            onnxruntime = import_onnxruntime()
        model.sidecar()
        wanted = as_device(_best_device() if device == "auto" else device)
        on_gpu = wanted.type == "cuda"
        self.device, self._index = str(wanted), wanted.number or 0
        self._plan = model.plan
        provider = "CUDAExecutionProvider" if on_gpu else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise SeglineError(
                f"onnxruntime: this build has no {provider}; install onnxruntime-gpu or use cpu"
            )
        if on_gpu and (missing := nvidia_driver_missing()):
            raise SeglineError(f"onnxruntime: device {device}: {missing}; use cpu")
        if on_gpu:
            import torch  # noqa: F401  # windows and scores lie there as its tensors
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads_asked()
        if on_gpu:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        choice = (provider, {"device_id": self._index} if on_gpu else {})
        with readable_refusals(f"{model.onnx}: onnxruntime cannot load it"):
            self._session = onnxruntime.InferenceSession(model.onnx, options, providers=[choice])
        active = self._session.get_providers()[0]
        if active != provider:
            raise SeglineError(f"onnxruntime: asked for {provider}, got {active}; see its log, or use cpu")
        self.version = f"onnxruntime {onnxruntime.__version__} {provider}"

    def __call__(self, windows: Array) -> Array:
        """``(B, C, x, y, z)`` to ``(B, K, x, y, z)`` or ``(B, K)``, where the caller's are."""
        answered = self._on_cpu if self.device == CPU else self._on_gpu
        with readable_refusals("onnxruntime: cannot run the graph"):
            return like(answered(windows), windows)

    def _on_cpu(self, windows: Array) -> np.ndarray:
        inputs = np.ascontiguousarray(as_numpy(windows))
        scores = np.empty(self._plan.scores_shape(inputs.shape), np.float32)
        self._run("cpu", inputs.shape, inputs.ctypes.data, scores.shape, scores.ctypes.data)
        return scores

    def _on_gpu(self, windows: Array) -> Any:
        import torch

        inputs = as_tensor(windows, self.device).contiguous()
        scores = torch.empty(self._plan.scores_shape(inputs.shape), device=self.device)
        torch.cuda.current_stream(self.device).synchronize()  # the session has a stream of its own
        self._run("cuda", inputs.shape, inputs.data_ptr(), scores.shape, scores.data_ptr())
        return scores

    def _run(
        self, kind: str, shape: tuple[int, ...], windows: int, scores_shape: tuple[int, ...], scores: int
    ) -> None:
        """Between two addresses in the memory of ``kind``."""
        binding = self._session.io_binding()
        binding.bind_input(INPUT, kind, self._index, "float32", shape, windows)
        binding.bind_output(OUTPUT, kind, self._index, "float32", scores_shape, scores)
        self._session.run_with_iobinding(binding)


def _best_device() -> str:
    has_cuda = "CUDAExecutionProvider" in import_onnxruntime().get_available_providers()
    return default_device() if has_cuda else "cpu"


def open_backend(model: Model, device: str) -> OnnxRuntimeBackend:
    """Open the exported graph of a package.

    Raises:
        SeglineError: ONNX Runtime or the device cannot be used here, or the graph is missing or not the
            package's own.
    """
    return OnnxRuntimeBackend(model, device)
