"""What must match before an exported graph may run."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from segline.common.digests import sha256_of_file
from segline.common.documents import Document
from segline.common.errors import SeglineError


class Float16Graph(BaseModel):
    """The exported graph that computes in float16; its windows and scores are float32."""

    model_config = ConfigDict(frozen=True)

    onnx_sha256: str
    max_abs_difference: float
    """Of the class scores, from PyTorch's in float32, on the patches of the float32 graph."""
    label_agreement: float


class OnnxSidecar(Document):
    """What must match before an exported graph may run, and how it was checked."""

    kind = "a segline sidecar"
    stage = "export_onnx"

    plan_digest: str
    weights_sha256: str
    onnx_sha256: str
    opset: int
    torch_version: str
    onnxruntime_version: str
    checked_patches: int
    """Real validation patches that were run through PyTorch and ONNX Runtime."""
    max_abs_difference: float
    """Of the class scores."""
    label_agreement: float
    """Share of voxels with the same class."""
    float16: Float16Graph | None = None
    no_float16: str | None = None
    """Why there is no such graph."""


def require_unchanged(part: Path, sha256: str, stage: str) -> None:
    """Check that a file of a package is the one that its sidecar knows; ``stage`` made it.

    Raises:
        SeglineError: it is missing, or another.
    """
    if not part.is_file():
        raise SeglineError(f"{part}: missing; run {stage} again")
    if sha256_of_file(part) != sha256:
        raise SeglineError(f"{part}: changed after {stage}; run {stage} again")


LARGEST_DIFFERENCE = 1e-3
"""Of class scores, float32; a UNet's rounding stays some 50 times below."""
