"""What this machine can do, with the reason for each no."""

import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import dataclass

from segline.common.arrays import CPU
from segline.machine.devices import why_no_cuda
from segline.machine.memory import available_bytes
from segline.machine.nvidia import nvidia_driver_missing
from segline.machine.onnx_runtime import import_onnxruntime


@dataclass(frozen=True)
class Ability:
    """One thing a machine may be able to do: whether it can, and which version, or why not."""

    name: str
    available: bool
    detail: str


def abilities() -> list[Ability]:
    """Examine this machine. Never crashes where a driver or package is missing."""
    return [_host(), _package("torch"), _cuda(), *_onnx_providers(), _package("openvino"), _tensorrt()]


def _host() -> Ability:
    gib = available_bytes(CPU) / 2**30
    detail = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {gib:.1f} GiB free"
    return Ability("host", True, detail)


def _package(name: str) -> Ability:
    try:
        return Ability(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Ability(name, False, f"not installed: pip install {name}")


def _cuda() -> Ability:
    if importlib.util.find_spec("torch") is None:
        return Ability("cuda", False, "torch is not installed: pip install torch")
    import torch

    if torch.cuda.is_available():
        return Ability("cuda", True, f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    return Ability("cuda", False, why_no_cuda())


def _onnx_providers() -> list[Ability]:
    if importlib.util.find_spec("onnxruntime") is None:
        return [Ability("onnxruntime", False, "not installed: pip install onnxruntime or onnxruntime-gpu")]
    try:
        onnxruntime = import_onnxruntime()
    except Exception as error:  # a broken installation may raise anything
        return [Ability("onnxruntime", False, f"installed, but cannot be loaded: {error}")]
    compiled_in = onnxruntime.get_available_providers()
    providers = [Ability("onnxruntime CPU", True, onnxruntime.__version__)]
    if "CUDAExecutionProvider" not in compiled_in:
        providers.append(Ability("onnxruntime CUDA", False, "not in this build: pip install onnxruntime-gpu"))
    else:
        missing = nvidia_driver_missing()
        providers.append(Ability("onnxruntime CUDA", missing is None, missing or onnxruntime.__version__))
    return providers


def _tensorrt() -> Ability:
    missing = nvidia_driver_missing()
    if missing:
        return Ability("tensorrt", False, missing)
    for name in ("tensorrt", "tensorrt_rtx"):
        if (ability := _package(name)).available:
            return Ability("tensorrt", True, f"{name} {ability.detail}")
    return Ability("tensorrt", False, "not installed: pip install tensorrt, or tensorrt-rtx for an RTX GPU")
