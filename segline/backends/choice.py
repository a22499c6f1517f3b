"""The choice of a backend, where whoever asks leaves it open."""

import logging
from collections.abc import Collection

from segline.backends import REFERENCE, Backend, open_backend
from segline.common.errors import SeglineError
from segline.model.package import Model

AUTO = "auto"
_ON_GPU = ("tensorrt", "pytorch_amp")
IF_SHOWN = ("openvino_bf16", "openvino_int8")
"""On a CPU, what answers a little otherwise: only the gate can say that it does not matter."""
_ON_CPU = (*IF_SHOWN, "openvino", "onnxruntime")
"""Fastest first."""

_log = logging.getLogger(__name__)


def open_chosen(name: str, model: Model, device: str = "auto", equivalent: Collection[str] = ()) -> Backend:
    """:func:`~segline.backends.open_backend`; ``auto`` is the fastest that this machine and the package have.

    ``equivalent`` are the backends that the gate has shown to answer as the reference does; of bfloat16
    and int8 on a CPU ``auto`` asks that.

    Raises:
        SeglineError: as there; of ``auto`` only if the reference cannot run either.
    """
    if name != AUTO:
        return open_backend(name, model, device)
    for one in _candidates(device):
        if one in IF_SHOWN and one not in equivalent:
            continue
        try:
            return open_backend(one, model, device)
        except SeglineError as error:
            _log.info("backend %s: %s", one, error)
    return open_backend(REFERENCE, model, device)


def _candidates(device: str) -> tuple[str, ...]:
    from segline.machine.devices import default_device
    from segline.machine.processor import has_fast_bfloat16

    wanted = default_device() if device == AUTO else device
    if wanted != "cpu":
        return _ON_GPU
    return tuple(one for one in _ON_CPU if one != "openvino_bf16" or has_fast_bfloat16())
