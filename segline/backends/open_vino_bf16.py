"""OpenVINO in bfloat16, on CPUs with units for it: the CPU's counterpart of mixed precision on a GPU."""

from segline.backends.open_vino import OpenVinoBackend, import_openvino, openvino_core
from segline.common.errors import UnavailableError
from segline.model.package import Model

NAME = "openvino_bf16"


def open_backend(model: Model, device: str) -> OpenVinoBackend:
    """Compile the exported graph of a package, to compute in bfloat16.

    Raises:
        UnavailableError: the plan asks for no bfloat16, this CPU has none, or OpenVINO is not installed.
        SeglineError: the graph is missing or not the package's own, or the device is not the CPU.
    """
    if not model.plan.export.bfloat16:
        raise UnavailableError(f"{NAME}: the plan asks for no bfloat16; set export.bfloat16")
    import_openvino(NAME)
    if not has_bfloat16():
        raise UnavailableError(f"{NAME}: this CPU computes nothing in bfloat16; use openvino")
    model.sidecar()
    return OpenVinoBackend(NAME, "bfloat16", model, model.onnx, device)


def has_bfloat16() -> bool:
    """Whether this CPU computes in it; OpenVINO must be installed."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
