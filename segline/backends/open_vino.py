"""OpenVINO: the exported graph compiled for the CPU; the CPU's counterpart of TensorRT."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from segline.backends import Precision, onnx_runtime
from segline.backends.depth_to_space import with_depth_to_space
from segline.backends.refusals import readable_refusals
from segline.common.arrays import CPU, Array, as_numpy, like
from segline.common.errors import SeglineError, UnavailableError, imports_of
from segline.common.wording import by
from segline.machine.devices import as_device
from segline.machine.processor import threads_asked
from segline.model.package import Model


class OpenVinoBackend:
    """A graph of the package, compiled for this CPU."""

    def __init__(self, name: str, precision: Precision, model: Model, graph: Path, device: str) -> None:
        if device != "auto" and as_device(device).type != "cpu":
            raise SeglineError(f"{name}: runs on the CPU, not on {device}; use cpu")
        openvino = import_openvino(name)
        self.name, self.precision, self.device = name, precision, CPU
        self._plan = model.plan
        # without the hint, OpenVINO computes whatever is not int8 in bfloat16 where the CPU can
        floats = "bf16" if precision == "bfloat16" else "f32"
        settings = {"INFERENCE_PRECISION_HINT": floats, "INFERENCE_NUM_THREADS": threads_asked()}
        with readable_refusals(f"{graph}: {name} cannot load it"):
            read = with_depth_to_space(openvino_core().read_model(str(graph)))
            compiled = openvino_core().compile_model(read, "CPU", settings)
            self._request = compiled.create_infer_request()
        self._shared = openvino.Tensor
        self.version = f"openvino {plain_version(openvino)} CPU"

    def __call__(self, windows: Array) -> Array:
        """``(B, C, x, y, z)`` to ``(B, K, x, y, z)``, where the caller's are."""
        scores = np.empty(self._plan.scores_shape(windows.shape), np.float32)
        inputs = {onnx_runtime.INPUT: np.ascontiguousarray(as_numpy(windows))}
        with readable_refusals(f"{self.name}: cannot run the graph"):
            # OpenVINO writes into the caller's memory: its own would be overwritten by the next call
            self._request.set_output_tensor(self._shared(scores, shared_memory=True))
            self._request.infer(inputs, share_inputs=True, share_outputs=True)
            given = tuple(self._request.get_output_tensor().shape)
        if given != scores.shape:
            raise SeglineError(f"{self.name}: the graph gives scores of {by(given)}, not {by(scores.shape)}")
        return like(scores, windows)


def import_openvino(asker: str) -> Any:
    """The package, imported.

    Raises:
        UnavailableError: it is not installed; ``asker`` says who needs it.
    """
    with imports_of("openvino", asker, UnavailableError), no_telemetry():
        import openvino
    return openvino


@cache
def openvino_core() -> Any:
    """OpenVINO's one ``Core`` of this process, which must be installed.

    Each that has run on the CPU takes the thread's stack for signals, and gives back the one it found. Where
    two overlap, that may be gone, and the next Ctrl-C is a segmentation fault.
    """
    import openvino

    return openvino.Core()


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Keep what is imported in the block from telling Intel of its use, which it does unless it is refused.

    OpenVINO and NNCF do without the package that tells where it cannot be imported.
    """
    telling = "openvino_telemetry"
    before = sys.modules.get(telling)
    sys.modules[telling] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[telling]
        if before is not None:
            sys.modules[telling] = before


def plain_version(openvino: Any) -> str:
    """``2026.4.1`` of the build ``2026.4.1-22982-...``."""
    return str(openvino.__version__).split("-")[0]


def open_backend(model: Model, device: str) -> OpenVinoBackend:
    """Compile the exported graph of a package.

    Raises:
        UnavailableError: OpenVINO is not installed.
        SeglineError: the device is not the CPU, or the graph is missing or not the package's own.
    """
    model.sidecar()
    return OpenVinoBackend("openvino", "float32", model, model.onnx, device)
