"""NVIDIA's driver, asked without any of the libraries that need it."""

import ctypes
import uuid


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


def nvidia_driver_version() -> str:
    """Of the NVIDIA driver, from its management library, which comes with every driver."""
    text = ctypes.create_string_buffer(80)
    try:
        management = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return "unknown"
    if management.nvmlInit_v2() != 0 or management.nvmlSystemGetDriverVersion(text, len(text)) != 0:
        return "unknown"
    return text.value.decode()


def gpu_uuid(index: int) -> str:
    """What the management library calls a GPU: it numbers them otherwise than ``CUDA_VISIBLE_DEVICES``."""
    driver, device, raw = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), (ctypes.c_ubyte * 16)()
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceGetUuid(ctypes.byref(raw), device)
    return f"GPU-{uuid.UUID(bytes=bytes(raw))}"
