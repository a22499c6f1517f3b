"""Engines in a model package: ``engines/<architecture>/<precision>.engine``, each with its sidecar."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from segline.backends.tensorrt.profiles import Profile
from segline.backends.tensorrt.target import Target, difference
from segline.common.digests import sha256_of_file
from segline.common.documents import Document
from segline.common.errors import SeglineError, UnavailableError
from segline.model.package import Model

ENGINES = "engines"
EnginePrecision = Literal["float32", "float16"]


class TensorSpec(BaseModel):
    """An input or output of an engine."""

    model_config = ConfigDict(frozen=True)

    name: str
    dtype: str
    shape: tuple[int, ...]
    """-1 where a profile says."""


class EngineSidecar(Document):
    """Everything that must match before an engine may run."""

    kind = "an engine's sidecar"
    stage = "build_tensorrt"

    engine_sha256: str
    onnx_sha256: str
    """Of the graph it was built from."""
    plan_digest: str
    target: Target
    precision: EnginePrecision
    opset: int
    builder_flags: tuple[str, ...]
    profiles: tuple[Profile, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def mismatch(self, engine_sha256: str, onnx_sha256: str, plan_digest: str, here: Target) -> str | None:
        """What keeps the engine from running as ``here``, in words; ``None`` if nothing does."""
        if self.plan_digest != plan_digest:
            return f"built under plan {self.plan_digest[:12]}, the package's is {plan_digest[:12]}"
        if self.onnx_sha256 != onnx_sha256:
            return f"built from another graph than the package's {self.precision} one"
        if self.engine_sha256 != engine_sha256:
            return "changed after it was built"
        return difference(self.target, here)


def best_precision(model: Model) -> EnginePrecision:
    """Float16 where the network can compute in it, else float32."""
    return "float16" if model.sidecar().float16 else "float32"


def graph_of(model: Model, precision: EnginePrecision) -> Path:
    """The package's graph that computes in ``precision``, checked.

    Raises:
        UnavailableError: there is none in float16.
        SeglineError: nothing was exported, or a part is of another model.
    """
    if precision == "float32":
        model.sidecar()
        return model.onnx
    model.float16()
    return model.onnx_float16


def engine_path(model: Model, architecture: str, precision: EnginePrecision) -> Path:
    """Where the package keeps an engine."""
    return model.folder / ENGINES / architecture / f"{precision}.engine"


def sidecar_path(engine: Path) -> Path:
    """Where an engine's sidecar lies: what must match before the engine may run."""
    return engine.with_name(f"{engine.name}.json")


def summary_path(engine: Path) -> Path:
    """Where the summary of an engine's layers lies."""
    return engine.with_name(f"{engine.stem}.layers.json")


def read_engine(model: Model, precision: EnginePrecision, here: Target) -> tuple[bytes, EngineSidecar]:
    """The package's engine for a target, and its sidecar, once everything is known to match.

    Raises:
        UnavailableError: the package has no engine for this architecture.
        SeglineError: something differs; the line says what.
    """
    path = engine_path(model, here.architecture, precision)
    if not path.is_file():
        raise UnavailableError(
            f"{model.folder}: no {precision} engine for {here.architecture}; run build_tensorrt on such a GPU"
        )
    sidecar, content = EngineSidecar.read(sidecar_path(path)), path.read_bytes()
    graph = sha256_of_file(graph_of(model, precision))
    wrong = sidecar.mismatch(hashlib.sha256(content).hexdigest(), graph, model.plan.digest, here)
    if wrong:
        raise SeglineError(f"{path}: {wrong}; run build_tensorrt again on this machine")
    return content, sidecar
