"""What this machine has and can do, with the reason for each no."""

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import resource
from dataclasses import dataclass
from pathlib import Path

import torch

from segline.common.errors import SeglineError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""
_NEVER_GIVEN_BACK_BYTES = 2**30


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
        raise SeglineError(f"device {name}: {_why_no_cuda()}; use cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SeglineError(f"device {name}: this machine has {torch.cuda.device_count()} GPUs, from cuda:0")
    return device


def available_bytes(device: torch.device) -> int:
    """Bytes that a new allocation on ``device`` can still take; the least of machine and container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([_host_available(), *_cgroup_available()])


def default_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def half_precision(device: torch.device) -> torch.dtype | None:
    """In which 16-bit floats ``device`` trains faster than in 32; ``None`` where in none.

    A CPU needs instructions for bfloat16. With them, on two cores of an EPYC with AVX-512, steps of the
    hippocampus's network take half the time, of one that starts at half resolution three quarters.
    """
    if device.type == "cuda":
        return torch.float16
    known = torch.cpu.get_capabilities()
    return torch.bfloat16 if known.get("avx512_bf16") or known.get("amx_bf16") else None


def keep_freed_memory() -> None:
    """Let this process keep what it frees, instead of getting the same pages back zeroed in every step.

    A training allocates and frees the same large tensors again and again. Two cores, hippocampus: 3 700 page
    faults a step become fewer than 100, and 6 ms of 110 are saved; the peak stays. Of glibc only.
    """
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):
        for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            allocator.mallopt(option, _NEVER_GIVEN_BACK_BYTES)


@dataclass(frozen=True)
class Ability:
    """One thing a machine may be able to do: whether it can, and which version, or why not."""

    name: str
    available: bool
    detail: str


def abilities() -> list[Ability]:
    """Examine this machine. Never crashes where a driver or package is missing."""
    return [_host(), _package("torch"), _cuda(), *_onnx_providers(), _package("openvino"), _tensorrt()]


def nvidia_driver_missing() -> str | None:
    """Why no NVIDIA GPU can be used here, or ``None`` if one can.

    Asks the driver library itself: with no driver, constructing a TensorRT runtime can crash the process.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA GPU: the driver library libcuda.so.1 is not installed"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "no NVIDIA GPU: the driver is installed but finds no device"
    return None


def _host() -> Ability:
    gib = available_bytes(torch.device("cpu")) / 2**30
    detail = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {gib:.1f} GiB free"
    return Ability("host", True, detail)


def _package(name: str) -> Ability:
    try:
        return Ability(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Ability(name, False, f"not installed: pip install {name}")


def _cuda() -> Ability:
    if torch.cuda.is_available():
        return Ability("cuda", True, f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    return Ability("cuda", False, _why_no_cuda())


def _why_no_cuda() -> str:
    missing = nvidia_driver_missing()
    if missing:
        return missing
    if torch.version.cuda is None:
        return "this build of torch has no CUDA; install one from download.pytorch.org"
    return f"the NVIDIA driver is too old for CUDA {torch.version.cuda}, which this build of torch needs"


def _onnx_providers() -> list[Ability]:
    if importlib.util.find_spec("onnxruntime") is None:
        return [Ability("onnxruntime", False, "not installed: pip install onnxruntime or onnxruntime-gpu")]
    try:
        import onnxruntime
    except Exception as error:  # a broken installation may raise anything
        return [Ability("onnxruntime", False, f"installed, but cannot be loaded: {error}")]
    compiled_in = onnxruntime.get_available_providers()
    found = [Ability("onnxruntime CPU", True, onnxruntime.__version__)]
    if "CUDAExecutionProvider" not in compiled_in:
        found.append(Ability("onnxruntime CUDA", False, "not in this build: pip install onnxruntime-gpu"))
    else:
        missing = nvidia_driver_missing()
        found.append(Ability("onnxruntime CUDA", missing is None, missing or onnxruntime.__version__))
    return found


def _tensorrt() -> Ability:
    missing = nvidia_driver_missing()
    if missing:
        return Ability("tensorrt", False, missing)
    for name in ("tensorrt", "tensorrt_rtx"):
        if (found := _package(name)).available:
            return Ability("tensorrt", True, f"{name} {found.detail}")
    return Ability("tensorrt", False, "not installed: pip install tensorrt, or tensorrt-rtx for an RTX GPU")


def _host_available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroup_available(folder: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What a container's limit leaves, if there is one (cgroup v2).

    Files that the kernel keeps in memory count as used there, but make room when it is needed.
    """
    try:
        limit = int((folder / "memory.max").read_text())  # "max" where there is none
        used = int((folder / "memory.current").read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
        reclaimable = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    except (OSError, ValueError):
        return []
    return [max(0, limit - used + reclaimable)]


def processor_name() -> str:
    """The model of the CPU, as the system calls it; its architecture where the system does not say."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far, bytes.

    From the kernel's VmHWM: ``ru_maxrss`` starts at the size of the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
