"""The benchmark: where the time goes from a file on disk to an answer on disk, for every backend."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segline.acceptance.times import (
    STAGES,
    BackendTimes,
    Benchmark,
    DeviceUse,
    EndToEnd,
    Machine,
    NetworkAlone,
    Percentiles,
    Unavailable,
)
from segline.backends import REFERENCE, Backend, open_backend
from segline.common.errors import UnavailableError
from segline.common.processes.alone import in_own_process
from segline.common.progress import Progress, silent
from segline.common.wording import counted
from segline.data.manifest import Manifest
from segline.inference.answers import Answers
from segline.inference.masks import MASKS
from segline.inference.stopwatch import Stopwatch
from segline.machine.devices import as_device, cuda_in_use
from segline.machine.gpu_meter import GpuMeter
from segline.machine.memory import keep_freed_memory, peak_memory_bytes
from segline.machine.processor import ask_for_threads, threads_asked
from segline.model.package import Model

_PAIRED = (
    "a window that is alone in its batch goes through the network as one of two: on a CPU, torch convolves "
    "a batch of one slower than a batch of two"
)


@dataclass(frozen=True)
class _Job:
    """What one process is to time."""

    backend: str
    model: Model
    manifest: Manifest
    cases: tuple[str, ...]
    device: str
    repeats: int
    threads: int
    answers: Answers


@dataclass(frozen=True)
class _Run:
    """One prediction, from file to file."""

    stages_seconds: dict[str, float]
    seconds: float
    windows: int


def benchmark(
    model: Model,
    backends: Sequence[str],
    manifest: Manifest,
    cases: Sequence[str],
    device: str = "auto",
    repeats: int = 3,
    progress: Progress = silent,
    answers: Answers = MASKS,
) -> Benchmark:
    """Time ``repeats`` predictions of each case with each backend, after one of each that is not counted.

    A backend that is not available here is listed with its reason.

    Raises:
        SeglineError: a backend cannot run on ``device`` or crashed, or a case cannot be read.
    """
    for case in cases:
        manifest.case(case)
    times, unavailable = [], []
    for number, name in enumerate(backends):
        progress(number / len(backends), f"{name}: {counted(len(cases), 'case')}, {counted(repeats, 'time')}")
        job = _Job(name, model, manifest, tuple(cases), device, repeats, threads_asked(), answers)
        try:
            times.append(in_own_process(f"benchmark of {name}", _time_backend, job))
        except UnavailableError as error:
            unavailable.append(Unavailable(backend=name, reason=str(error).removeprefix(f"{name}: ")))
    progress(1.0, f"{counted(len(times), 'backend')} timed")
    return Benchmark(
        machine=Machine.here(_meter_of(device)),
        cases=tuple(cases),
        warm_up_runs=len(cases),
        backends=tuple(times),
        unavailable=tuple(unavailable),
    )


def _meter_of(device: str) -> GpuMeter | str:
    """The meter of the GPU that ``device`` stands for, or why there is none."""
    if device == "cpu":
        return "no GPU was asked for"
    try:
        return GpuMeter.open(0 if device == "auto" else as_device(device).number or 0)
    except UnavailableError as error:
        return str(error)


def _time_backend(job: _Job) -> BackendTimes:
    """Open and time one backend; this process's peak memory is taken to be its."""
    ask_for_threads(job.threads)
    keep_freed_memory()  # as the command does that predicts
    gauge = _Gauge(_meter_of(job.device))
    backend = open_backend(job.backend, job.model, job.device)
    with tempfile.TemporaryDirectory() as scratch:
        timed = _timer(backend, job, Path(scratch, "answer" + job.answers.suffixes[0]))
        for case in job.cases:
            timed(case)
        with gauge.reading():
            runs = [timed(case) for _ in range(job.repeats) for case in job.cases]
    return BackendTimes(
        backend=backend.name,
        version=backend.version,
        precision=backend.precision,
        runs=len(runs),
        stages_ms={
            stage: Percentiles.of([1000 * run.stages_seconds.get(stage, 0.0) for run in runs])
            for stage in STAGES
        },
        network=_network_alone(runs),
        end_to_end=_end_to_end(runs),
        peak_host_bytes=peak_memory_bytes(),
        device=gauge.use(backend.name, len(runs)),
        note=_PAIRED if backend.name == REFERENCE and not cuda_in_use() else None,
    )


def _network_alone(runs: Sequence[_Run]) -> NetworkAlone | None:
    windows = sum(run.windows for run in runs)
    if not windows:
        return None
    return NetworkAlone(
        windows=windows,
        window_ms=Percentiles.of([1000 * run.stages_seconds["network"] / run.windows for run in runs]),
        windows_per_second=windows / sum(run.stages_seconds["network"] for run in runs),
    )


def _end_to_end(runs: Sequence[_Run]) -> EndToEnd:
    return EndToEnd(
        volume_ms=Percentiles.of([1000 * run.seconds for run in runs]),
        volumes_per_minute=60 * len(runs) / sum(run.seconds for run in runs),
    )


def _timer(backend: Backend, job: _Job, path: Path) -> Callable[[str], _Run]:
    """A function that predicts one case by its name and tells how long everything took."""

    def timed(case: str) -> _Run:
        watch, start = _SettledStopwatch(), time.perf_counter()
        with watch.lap("load"):
            volume = job.manifest.image(job.manifest.case(case))
        answer = job.answers.predictor(job.model.plan, backend, watch)(volume)
        with watch.lap("save"):
            job.answers.write(path, answer)
        return _Run(dict(watch.seconds), time.perf_counter() - start, watch.counts["windows"])

    return timed


class _SettledStopwatch(Stopwatch):
    """Waits for the GPU before a lap ends: calls return once work is queued, which the next lap would pay."""

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        with super().lap(name):
            yield
            if cuda_in_use():
                import torch

                torch.cuda.synchronize()


class _Gauge:
    """What is used of the GPU, as far as its meter and PyTorch tell."""

    def __init__(self, meter: GpuMeter | str) -> None:
        self._meter = None if isinstance(meter, str) else meter
        self._bytes = 0
        self._joules: float | None = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count the energy of what is done inside; look at the memory after it."""
        before = self._meter.energy_joules() if self._meter else None
        yield
        if self._meter:
            after = self._meter.energy_joules()
            self._joules = after - before if after is not None and before is not None else None
            self._bytes = self._meter.memory_bytes()

    def use(self, backend: str, runs: int) -> DeviceUse | None:
        """What ``backend`` took over so many runs; ``None`` if it was not on the GPU."""
        peak = self._bytes
        if backend == REFERENCE and cuda_in_use():
            import torch

            peak = torch.cuda.max_memory_allocated()
        each = None if self._joules is None else self._joules / runs
        return DeviceUse(peak_bytes=peak, joules_per_volume=each) if peak else None
