"""The int8 graph of a model package: its files, and the check that they belong together."""

from pathlib import Path

from segline.common.documents import Document
from segline.common.errors import SeglineError, UnavailableError
from segline.model.package import Model
from segline.model.sidecars import require_unchanged

INT8_GRAPH = "model.int8.xml"
INT8_WEIGHTS = "model.int8.bin"
INT8_SIDECAR = "model.int8.json"


class Int8Sidecar(Document):
    """What must match before an int8 graph may run, and how near it is to the graph it was made from."""

    kind = "an int8 sidecar"
    stage = "quantize"

    plan_digest: str
    onnx_sha256: str
    """Of the float32 graph."""
    graph_sha256: str
    weights_sha256: str
    """Of the int8 graph's own weights."""
    openvino_version: str
    nncf_version: str
    calibration_patches: int
    checked_patches: int
    """Patches, drawn after those of the calibration, that were run through both graphs."""
    max_abs_difference: float
    """Of the class scores."""
    label_agreement: float
    """Share of voxels with the same class."""


def int8_graph(model: Model) -> Path:
    """The package's int8 graph, after checking that it, its weights and the exported graph belong together.

    Raises:
        UnavailableError: the package has none.
        SeglineError: a part is missing, was changed, or is of another plan or exported graph.
    """
    graph = model.folder / INT8_GRAPH
    if not (model.folder / INT8_SIDECAR).is_file():
        raise UnavailableError(
            "the package has no int8 graph; set export.int8_patches in the task and run quantize"
        )
    sidecar = Int8Sidecar.read(model.folder / INT8_SIDECAR)
    exported = model.sidecar()
    for name, written in ((INT8_GRAPH, sidecar.graph_sha256), (INT8_WEIGHTS, sidecar.weights_sha256)):
        require_unchanged(model.folder / name, written, "quantize")
    if (sidecar.plan_digest, sidecar.onnx_sha256) != (exported.plan_digest, exported.onnx_sha256):
        raise SeglineError(f"{graph}: made from another plan or exported graph; run quantize again")
    return graph
