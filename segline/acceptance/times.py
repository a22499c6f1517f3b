"""What a benchmark measures: the records of it."""

import os
import platform
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from segline.backends import Precision
from segline.common.documents import Document
from segline.machine.gpu_meter import GpuMeter
from segline.machine.processor import processor_name, threads_asked

STAGES = ("load", "preprocess", "network", "stitch", "invert", "save")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Percentiles(_Record):
    """Of some runs, nearest rank: p95 of fewer than 20, and p99 of fewer than 100, is the largest."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Percentiles":
        """The percentiles of one value or more.

        >>> Percentiles.of([4.0, 1.0, 3.0, 2.0])
        Percentiles(p50=2.0, p95=4.0, p99=4.0)
        """
        ranked = sorted(values)
        p50, p95, p99 = (ranked[-(-percent * len(ranked) // 100) - 1] for percent in (50, 95, 99))
        return cls(p50=p50, p95=p95, p99=p99)


class NetworkAlone(_Record):
    """The network stage by itself: what a backend changes, and not what a user waits for."""

    windows: int
    """In all timed runs; two volumes may be cut into windows of two sizes."""
    window_ms: Percentiles
    """Over runs, of a run's mean."""
    windows_per_second: float


class EndToEnd(_Record):
    """From the file on disk to the answer on disk, one volume after another."""

    volume_ms: Percentiles
    volumes_per_minute: float


class DeviceUse(_Record):
    """What a backend took of the GPU."""

    peak_bytes: int
    """PyTorch: the peak of its allocator. Others: by NVML after the runs; runtimes keep what they took."""
    joules_per_volume: float | None
    """Of the whole board, its idle part included; ``None`` where it is not counted."""


class BackendTimes(_Record):
    """One backend, over repeated predictions of whole cases."""

    backend: str
    version: str
    precision: Precision
    runs: int
    """Timed predictions."""
    stages_ms: dict[str, Percentiles]
    network: NetworkAlone | None
    """``None`` where no windows were counted."""
    end_to_end: EndToEnd
    peak_host_bytes: int
    """Of this backend's own process, interpreter and libraries included."""
    device: DeviceUse | None
    """``None`` on the CPU."""
    note: str | None
    """How the figures are to be read."""


class Unavailable(_Record):
    """A backend that cannot run here."""

    backend: str
    reason: str


class Machine(_Record):
    """What the figures were measured on."""

    processor: str
    cpus: int
    """That a process may use."""
    threads: int
    """Of the network's arithmetic on the CPU."""
    memory_bytes: int
    system: str
    gpu: str
    """Name, memory and driver; or why none was read."""

    @classmethod
    def here(cls, meter: GpuMeter | str) -> "Machine":
        """Describe this machine; a string says why there is no meter."""
        return cls(
            processor=processor_name(),
            cpus=len(os.sched_getaffinity(0)),
            threads=threads_asked() or len(os.sched_getaffinity(0)),
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            system=f"{platform.system()} {platform.machine()}",
            gpu=meter if isinstance(meter, str) else meter.description,
        )


class Benchmark(Document):
    """All backends on the same cases and machine, each in a process of its own, one after another."""

    kind = "a benchmark"
    stage = "benchmark"

    machine: Machine
    cases: tuple[str, ...]
    warm_up_runs: int
    """Of each backend before the timed ones: each case once."""
    backends: tuple[BackendTimes, ...]
    unavailable: tuple[Unavailable, ...]

    @property
    def scalars(self) -> dict[str, float]:
        """The main figures by name, for whatever compares runs."""
        scalars: dict[str, float] = {}
        for times in self.backends:
            scalars[f"{times.backend}_volume_ms_p50"] = times.end_to_end.volume_ms.p50
            scalars[f"{times.backend}_volume_ms_p95"] = times.end_to_end.volume_ms.p95
            scalars[f"{times.backend}_volumes_per_minute"] = times.end_to_end.volumes_per_minute
            if times.network:
                scalars[f"{times.backend}_network_windows_per_second"] = times.network.windows_per_second
            scalars[f"{times.backend}_peak_host_mib"] = times.peak_host_bytes / 2**20
        return scalars
