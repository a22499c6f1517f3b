"""The GPU's own meter, NVIDIA's management library: energy, memory, and what the GPU is."""

import os
from types import ModuleType
from typing import Any

from segline.common.errors import UnavailableError, imports_of
from segline.machine.nvidia import gpu_uuid, nvidia_driver_missing


class GpuMeter:
    """Reads one GPU; other processes on it count in its energy, and may in its memory."""

    def __init__(self, nvml: ModuleType | Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self._used_before = self._used_bytes()

    @classmethod
    def open(cls, index: int = 0) -> "GpuMeter":
        """Read GPU ``index``, as this process numbers them.

        Raises:
            UnavailableError: there is no NVIDIA GPU, or it cannot be read, with the reason.
        """
        if missing := nvidia_driver_missing():
            raise UnavailableError(missing)
        with imports_of("gpu", "the GPU's meter", UnavailableError):
            import pynvml
        try:
            pynvml.nvmlInit()
            return cls(pynvml, pynvml.nvmlDeviceGetHandleByUUID(gpu_uuid(index)))
        except pynvml.NVMLError as error:
            raise UnavailableError(f"the driver's management library says: {error}") from error

    @property
    def description(self) -> str:
        """Name, memory and driver."""
        gib = self._nvml.nvmlDeviceGetMemoryInfo(self._handle).total / 2**30
        driver = self._nvml.nvmlSystemGetDriverVersion()
        return f"{self._nvml.nvmlDeviceGetName(self._handle)}, {gib:.0f} GiB, driver {driver}"

    def energy_joules(self) -> float | None:
        """Energy of the whole board since the driver was loaded; ``None`` where it is not counted."""
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000
        except self._nvml.NVMLError:
            return None

    def memory_bytes(self) -> int:
        """Device memory of this process, the driver's own part included.

        In a container the driver knows processes by the host's numbers, so that this one is not found; then
        by how much the memory in use has grown since the meter was opened.
        """
        listed = self._listed_bytes()
        return max(0, self._used_bytes() - self._used_before) if listed is None else listed

    def _listed_bytes(self) -> int | None:
        try:
            processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except self._nvml.NVMLError:
            return None
        used = {process.pid: process.usedGpuMemory for process in processes}
        return used.get(os.getpid())

    def _used_bytes(self) -> int:
        return int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)
