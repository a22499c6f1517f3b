"""OpenVINO on the quantised graph: int8 arithmetic, for CPUs."""

from segline.backends.open_vino import OpenVinoBackend
from segline.model.int8 import int8_graph
from segline.model.package import Model


def open_backend(model: Model, device: str) -> OpenVinoBackend:
    """Compile the int8 graph of a package.

    Raises:
        UnavailableError: OpenVINO is not installed, or the package has no int8 graph.
        SeglineError: the device is not the CPU, or the graph was changed or is of another plan or network.
    """
    return OpenVinoBackend("openvino_int8", "int8", model, int8_graph(model), device)
