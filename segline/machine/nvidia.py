"""NVIDIA's driver, asked without any of the libraries that need it."""

import ctypes


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
