"""ONNX Runtime: the exported graph, without PyTorch's network code."""

import torch
from torch import Tensor

from segline.backends import Precision
from segline.backends.refusals import readable_refusals
from segline.common.errors import SeglineError
from segline.machine.devices import as_device
from segline.machine.nvidia import nvidia_driver_missing
from segline.machine.onnx_runtime import import_onnxruntime
from segline.model.package import Model

INPUT, OUTPUT = "windows", "scores"


class OnnxRuntimeBackend:
    """A session on exactly the provider asked for: a missing GPU is an error, never a silent CPU run."""

    name = "onnxruntime"
    precision: Precision = "float32"

    def __init__(self, model: Model, device: str) -> None:
        try:
            onnxruntime = import_onnxruntime()
        except ImportError as error:
            raise SeglineError(
                f"onnxruntime: cannot be imported ({error}); pip install 'segline[onnx]'"
            ) from error
        model.sidecar()
        wanted = as_device(_best_device() if device == "auto" else device)
        on_gpu = wanted.type == "cuda"
        self.device = wanted
        self._plan = model.plan
        provider = "CUDAExecutionProvider" if on_gpu else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise SeglineError(
                f"onnxruntime: this build has no {provider}; install onnxruntime-gpu or use cpu"
            )
        if on_gpu and (missing := nvidia_driver_missing()):
            raise SeglineError(f"onnxruntime: device {device}: {missing}; use cpu")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        if on_gpu:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        choice = (provider, {"device_id": wanted.index or 0} if on_gpu else {})
        with readable_refusals(f"{model.onnx}: onnxruntime cannot load it"):
            self._session = onnxruntime.InferenceSession(model.onnx, options, providers=[choice])
        active = self._session.get_providers()[0]
        if active != provider:
            raise SeglineError(f"onnxruntime: asked for {provider}, got {active}; see its log, or use cpu")
        self.version = f"onnxruntime {onnxruntime.__version__} {provider}"

    def __call__(self, windows: Tensor) -> Tensor:
        """``(B, C, x, y, z)`` to ``(B, K, x, y, z)``, on the caller's device."""
        inputs = windows.to(self.device).contiguous()
        scores = torch.empty(self._plan.scores_shape(inputs.shape), device=self.device)
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()  # the session has a stream of its own
        with readable_refusals("onnxruntime: cannot run the graph"):
            self._run(inputs, scores)
        return scores.to(windows.device)

    def _run(self, inputs: Tensor, scores: Tensor) -> None:
        binding = self._session.io_binding()
        for bind, name, tensor in (
            (binding.bind_input, INPUT, inputs),
            (binding.bind_output, OUTPUT, scores),
        ):
            bind(
                name, tensor.device.type, tensor.device.index or 0, "float32", tensor.shape, tensor.data_ptr()
            )
        self._session.run_with_iobinding(binding)


def _best_device() -> str:
    has_cuda = "CUDAExecutionProvider" in import_onnxruntime().get_available_providers()
    return "cuda" if has_cuda and nvidia_driver_missing() is None else "cpu"


def open_backend(model: Model, device: str) -> OnnxRuntimeBackend:
    """Open the exported graph of a package.

    Raises:
        SeglineError: ONNX Runtime or the device cannot be used here, or the graph is missing or not the
            package's own.
    """
    return OnnxRuntimeBackend(model, device)
