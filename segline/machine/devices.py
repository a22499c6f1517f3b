"""What this machine has and can do, with the reason for each no."""

import torch

from segline.common.errors import SeglineError
from segline.machine.nvidia import nvidia_driver_missing


def as_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``cuda:<number>`` as a device, whether or not this machine has it.

    Raises:
        SeglineError: no such kind of device.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SeglineError(f"device {name!r}: unknown; give cpu, cuda or cuda:<number>") from error
    if device.type not in ("cpu", "cuda"):
        raise SeglineError(f"device {name!r}: not supported; give cpu, cuda or cuda:<number>")
    return device


def usable_device(name: str) -> torch.device:
    """A device on which PyTorch can compute here; ``auto`` is the best one.

    Raises:
        SeglineError: no such device, with the reason.
    """
    device = as_device(default_device() if name == "auto" else name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SeglineError(f"device {name}: {why_no_cuda()}; use cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SeglineError(f"device {name}: this machine has {torch.cuda.device_count()} GPUs, from cuda:0")
    return device


def default_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def half_precision(device: torch.device) -> torch.dtype | None:
    """Name the 16-bit floats in which ``device`` trains faster than in 32; ``None`` where there are none."""
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if has_fast_bfloat16() else None


def has_fast_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16 faster than in float32: by AMX, or by AVX-512 of an AMD.

    On two cores of an EPYC steps of the hippocampus's network take half the time, of one that starts at
    half resolution three quarters. On a Xeon of which a virtual machine hides AMX, AVX-512 does convolutions
    in bfloat16 at little more than half the speed of float32, and those steps take 1.4 times as long.
    """
    known = torch.cpu.get_capabilities()
    by_avx512 = known.get("avx512_bf16") and "Intel" not in known.get("cpu_name", "")
    return bool(known.get("amx_bf16") or by_avx512)


def why_no_cuda() -> str:
    missing = nvidia_driver_missing()
    if missing:
        return missing
    if torch.version.cuda is None:
        return "this build of torch has no CUDA; install one from download.pytorch.org"
    return f"the NVIDIA driver is too old for CUDA {torch.version.cuda}, which this build of torch needs"
