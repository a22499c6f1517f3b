"""Backends: what runs the network. Each turns a batch of windows into class scores, and nothing more.

Knows model packages; nothing of volumes, training, data sets or runs.

A backend is a module with ``open_backend(model, device) -> Backend`` and one line in ``BACKENDS``.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from segline.common.errors import SeglineError, UnavailableError

if TYPE_CHECKING:
    from segline.common.arrays import Array
    from segline.model.package import Model

REFERENCE = "pytorch"
"""Every other backend is compared with this one."""


@dataclass(frozen=True)
class Listed:
    """A backend that can be opened."""

    module: str
    uses_gpu: bool
    """Where there is one; on a cluster the others hold none."""


BACKENDS: Mapping[str, Listed] = {
    "pytorch": Listed("segline.backends.pytorch", uses_gpu=True),
    "pytorch_amp": Listed("segline.backends.pytorch_amp", uses_gpu=True),
    "onnxruntime": Listed("segline.backends.onnx_runtime", uses_gpu=True),
    "openvino": Listed("segline.backends.open_vino", uses_gpu=False),
    "openvino_bf16": Listed("segline.backends.open_vino_bf16", uses_gpu=False),
    "openvino_int8": Listed("segline.backends.open_vino_int8", uses_gpu=False),
    "tensorrt": Listed("segline.backends.tensorrt.backend", uses_gpu=True),
}
GPU_BACKENDS = tuple(name for name, listed in BACKENDS.items() if listed.uses_gpu)
CPU_BACKENDS = tuple(name for name, listed in BACKENDS.items() if not listed.uses_gpu)
Precision = Literal["float32", "float16", "bfloat16", "int8"]


class Backend(Protocol):
    """A loaded network."""

    name: str
    precision: Precision
    """Of the arithmetic inside; windows and scores are float32."""
    version: str
    """Of the runtime, and what it runs on."""
    device: str
    """Where it computes, such as ``cpu`` or ``cuda:0``: windows that are there are not copied."""

    def __call__(self, windows: "Array") -> "Array":
        """``(B, C, x, y, z)`` float32 to class scores float32, before softmax, in the library of the windows.

        They are ``(B, K, x, y, z)``, or ``(B, K)`` of a network that answers with one class a window.
        """
        ...


def open_backend(name: str, model: "Model", device: str = "auto") -> Backend:
    """Load a model for one backend; ``auto`` is the best device that this backend can use here.

    Raises:
        UnavailableError: it cannot run here, or the package has nothing for it.
        SeglineError: no such backend, it cannot run on ``device``, or its part of the package is damaged.
    """
    if name not in BACKENDS:
        raise SeglineError(f"backend {name!r}: unknown; there are {', '.join(BACKENDS)}")
    try:
        backend: Backend = importlib.import_module(BACKENDS[name].module).open_backend(model, device)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "monai"):
            raise
        raise UnavailableError(
            f"{name}: {error.name} is not installed; pip install 'segline[train]'"
        ) from error
    return backend
