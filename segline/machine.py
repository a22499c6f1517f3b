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


def available_bytes(device: torch.device) -> int:
    """Memory that a new allocation on ``device`` can still take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([_host_available(), *_cgroup_available()])


def default_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Ability:
    """One thing a machine may be able to do: whether it can, and which version, or why not."""

    name: str
    available: bool
    detail: str


def abilities() -> list[Ability]:
    """Examine this machine. Never crashes where a driver or package is missing."""
    return [_host(), _package("torch"), _cuda(), *_onnx_providers(), _tensorrt()]


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
    gib = _host_available() / 2**30
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
    return Ability("cuda", False, nvidia_driver_missing() or "this build of torch has no CUDA")


def _onnx_providers() -> list[Ability]:
    if importlib.util.find_spec("onnxruntime") is None:
        return [Ability("onnxruntime", False, "not installed: pip install onnxruntime or onnxruntime-gpu")]
    import onnxruntime

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
    return _package("tensorrt")


def _host_available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroup_available() -> list[int]:
    """What a container's limit leaves, if there is one (cgroup v2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return []
    return [] if limit == "max" else [int(limit) - used]


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
