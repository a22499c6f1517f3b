"""What this machine has and can do, with the reason for each no."""

import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from segline.common.errors import SeglineError
from segline.common.wording import counted
from segline.machine.nvidia import nvidia_driver_missing
from segline.machine.processor import has_fast_bfloat16

if TYPE_CHECKING:  # whoever predicts on a CPU needs nothing of it
    import torch


@dataclass(frozen=True)
class Device:
    """Where arrays may lie, by the names that PyTorch gives."""

    type: str
    """``cpu`` or ``cuda``."""
    number: int | None = None
    """Of the GPU, where one was named."""

    def __str__(self) -> str:
        return self.type if self.number is None else f"{self.type}:{self.number}"


def as_device(name: str) -> Device:
    """``cpu``, ``cuda`` or ``cuda:<number>`` as a device, whether or not this machine has it.

    Raises:
        SeglineError: no such device.
    """
    known = re.fullmatch(r"(cpu)|(cuda)(?::(\d+))?", name)
    if not known:
        raise SeglineError(f"device {name!r}: unknown; give cpu, cuda or cuda:<number>")
    return Device(known[1] or known[2], int(known[3]) if known[3] else None)


def chosen_device(name: str) -> Device:
    """:func:`as_device`, where ``auto`` is the best one that this machine has."""
    return as_device(default_device() if name == "auto" else name)


def usable_device(name: str) -> "torch.device":
    """A device on which PyTorch can compute here; ``auto`` is the best one.

    Raises:
        SeglineError: no such device, with the reason.
    """
    import torch

    wanted = chosen_device(name)
    if wanted.type == "cuda" and not torch.cuda.is_available():
        raise SeglineError(f"device {name}: {why_no_cuda()}; use cpu")
    if wanted.type == "cuda" and (wanted.number or 0) >= torch.cuda.device_count():
        raise SeglineError(
            f"device {name}: this machine has {counted(torch.cuda.device_count(), 'GPU')}, from cuda:0"
        )
    return torch.device(str(wanted))


def default_device() -> str:
    """``cuda`` where there is one that PyTorch can use, else ``cpu``."""
    if nvidia_driver_missing() or find_spec("torch") is None:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def cuda_in_use() -> bool:
    """Whether PyTorch has computed on a GPU in this process."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def half_precision(device: "torch.device") -> "torch.dtype | None":
    """Name the 16-bit floats in which ``device`` trains faster than in 32; ``None`` where there are none."""
    import torch

    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if has_fast_bfloat16() else None


def why_no_cuda() -> str:
    missing = nvidia_driver_missing()
    if missing:
        return missing
    import torch

    if torch.version.cuda is None:
        return "this build of torch has no CUDA; install one from download.pytorch.org"
    return f"the NVIDIA driver is too old for CUDA {torch.version.cuda}, which this build of torch needs"
