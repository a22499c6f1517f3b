"""The meter where there is a GPU is read through a stand-in for NVML: no test machine has one."""

import os
from types import SimpleNamespace

import pytest

from segline.common.errors import UnavailableError
from segline.machine.gpu_meter import GpuMeter
from segline.machine.nvidia import nvidia_driver_missing

GIB = 2**30


class FakeNvml:
    """A GPU of 24 GiB, as ``pynvml`` would tell of it."""

    class NVMLError(Exception):
        pass

    def __init__(self, listed: dict[int, int | None]) -> None:
        self.listed = listed
        self.used = 3 * GIB
        self.millijoules: int | None = 5_000

    def nvmlDeviceGetMemoryInfo(self, _: object) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=24 * GIB, used=self.used)

    def nvmlDeviceGetName(self, _: object) -> str:  # noqa: N802
        return "NVIDIA L4"

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.65"

    def nvmlDeviceGetTotalEnergyConsumption(self, _: object) -> int:  # noqa: N802
        if self.millijoules is None:
            raise self.NVMLError("Not Supported")
        return self.millijoules

    def nvmlDeviceGetComputeRunningProcesses(self, _: object) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.listed.items()]


def test_a_gpu_is_described() -> None:
    assert GpuMeter(FakeNvml({}), None).description == "NVIDIA L4, 24 GiB, driver 580.65"


def test_energy_is_told_in_joules() -> None:
    assert GpuMeter(FakeNvml({}), None).energy_joules() == 5


def test_energy_that_a_gpu_does_not_count_is_none() -> None:
    nvml = FakeNvml({})
    nvml.millijoules = None
    assert GpuMeter(nvml, None).energy_joules() is None


def test_memory_is_that_of_this_process() -> None:
    assert GpuMeter(FakeNvml({os.getpid(): GIB, 1: 2 * GIB}), None).memory_bytes() == GIB


@pytest.mark.parametrize("listed", [{}, {1: GIB}, {os.getpid(): None}])
def test_where_this_process_is_not_listed_the_growth_of_all_counts(
    listed: dict[int, int | None],
) -> None:
    nvml = FakeNvml(listed)
    meter = GpuMeter(nvml, None)
    assert meter.memory_bytes() == 0
    nvml.used += GIB // 2
    assert meter.memory_bytes() == GIB // 2


@pytest.mark.skipif(nvidia_driver_missing() is None, reason="this machine has an NVIDIA GPU")
def test_without_a_gpu_the_meter_says_so() -> None:
    with pytest.raises(UnavailableError, match="no NVIDIA GPU"):
        GpuMeter.open()


@pytest.mark.skipif(nvidia_driver_missing() is not None, reason="no NVIDIA GPU")
def test_a_real_gpu_can_be_read() -> None:
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    meter = GpuMeter.open()
    assert "GiB, driver" in meter.description
    assert meter.memory_bytes() >= 0
