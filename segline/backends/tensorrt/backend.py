"""TensorRT: the package's engine for this GPU."""

from typing import TYPE_CHECKING

from segline.backends import Precision, onnx_runtime
from segline.backends.tensorrt.engine import EnginePrecision, best_precision, engine_path, read_engine
from segline.backends.tensorrt.flavour import Flavour
from segline.backends.tensorrt.profiles import choose_profile
from segline.backends.tensorrt.target import Target
from segline.common.arrays import Array, as_tensor, like
from segline.common.errors import SeglineError, UnavailableError
from segline.machine.devices import as_device
from segline.model.package import Model

if TYPE_CHECKING:  # where there is no GPU, that is told without it
    from torch import Tensor


class TensorRtBackend:
    """An engine with a stream of its own; PyTorch's tensors are its buffers, so nothing is copied."""

    name = "tensorrt"

    def __init__(self, model: Model, device: str, precision: EnginePrecision) -> None:
        self.device = device
        self.precision: Precision = precision
        flavour = Flavour.installed()
        target = Target.here(device, flavour)
        content, sidecar = read_engine(model, precision, target)
        name = str(engine_path(model, target.architecture, precision))
        import torch

        with torch.cuda.device(device):
            self._log = flavour.logger()
            self._runtime = flavour.runtime(self._log)
            self._engine = flavour.deserialized(content, self._runtime, name)
            self._context = self._engine.create_execution_context()
            self._stream = torch.cuda.Stream(device)
        if self._context is None:
            raise SeglineError(f"{name}: too little memory on {target.gpu}; free some")
        self._profiles = sidecar.profiles
        self._profile: int | None = None
        self._plan = model.plan
        self.version = f"{flavour.name} {flavour.version} on {target.gpu}"

    def __call__(self, windows: Array) -> Array:
        """``(B, C, x, y, z)`` to ``(B, K, x, y, z)`` or ``(B, K)``, where the caller's are.

        On the engine's GPU the call returns at once: later work of the caller's stream waits for the scores.

        Raises:
            SeglineError: the engine was not built for windows of this shape, or fails.
        """
        import torch

        profile = choose_profile(self._profiles, windows.shape)
        with torch.cuda.device(self.device):
            inputs = as_tensor(windows, self.device).float().contiguous()
            scores = torch.empty(self._plan.scores_shape(inputs.shape), device=self.device)
            caller = torch.cuda.current_stream()
            self._stream.wait_stream(caller)
            self._enqueue(profile, inputs, scores)
            caller.wait_stream(self._stream)
        # the caller may free both before the GPU is done with them
        inputs.record_stream(self._stream)
        scores.record_stream(self._stream)
        return like(scores, windows)

    def _enqueue(self, profile: int, inputs: "Tensor", scores: "Tensor") -> None:
        context, stream = self._context, self._stream.cuda_stream
        done = (
            (profile == self._profile or context.set_optimization_profile_async(profile, stream))
            and context.set_input_shape(onnx_runtime.INPUT, tuple(inputs.shape))
            and context.set_tensor_address(onnx_runtime.INPUT, inputs.data_ptr())
            and context.set_tensor_address(onnx_runtime.OUTPUT, scores.data_ptr())
            and context.execute_async_v3(stream)
        )
        self._profile = profile if done else None
        if not done:
            raise SeglineError(f"tensorrt: {(self._log.errors or ['the engine failed'])[-1]}")


def open_backend(model: Model, device: str) -> TensorRtBackend:
    """Load the package's engine for a GPU: float16 where the network can compute in it, else float32.

    Raises:
        UnavailableError: there is no GPU, no TensorRT, or no engine for this GPU's architecture.
        SeglineError: the engine was built for another machine, version, plan or graph, or was changed.
    """
    used = as_device("cuda" if device == "auto" else device)
    if used.type != "cuda":
        raise UnavailableError(f"tensorrt: runs on an NVIDIA GPU, not on {device}; use auto or cuda")
    return TensorRtBackend(model, str(used), best_precision(model))
