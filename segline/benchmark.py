"""The benchmark: where the time goes from a file on disk to a mask on disk, for every backend."""

import math
import platform
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from segline.backends import Backend, open_backend
from segline.dataset import Manifest
from segline.documents import Document
from segline.machine import peak_memory_bytes, processor_name
from segline.model import Model
from segline.prediction import Predictor
from segline.progress import Progress, silent
from segline.stopwatch import Stopwatch
from segline.volumes import write_volume

STAGES = ("load", "preprocess", "network", "stitch", "invert", "save")


class BackendTimes(BaseModel):
    """Latency of one backend, over repeated predictions of whole cases."""

    model_config = ConfigDict(frozen=True)

    backend: str
    version: str
    runs: int
    """Timed predictions, after one untimed."""
    stages_ms: dict[str, float]
    """Median of each stage."""
    total_ms: float
    """Median from file to file; not the sum of the stages' medians."""
    total_p95_ms: float
    """Nearest rank."""
    volumes_per_minute: float


class Benchmark(Document):
    """All backends on the same cases and machine."""

    kind = "a benchmark"
    stage = "benchmark"

    machine: str
    threads: int
    cases: tuple[str, ...]
    backends: tuple[BackendTimes, ...]
    peak_memory_bytes: int
    """Of the whole process, all backends loaded one after another."""


def benchmark(
    model: Model,
    backends: Sequence[str],
    manifest: Manifest,
    cases: Sequence[str],
    device: str = "auto",
    repeats: int = 3,
    progress: Progress = silent,
) -> Benchmark:
    """Time ``repeats`` predictions of each case with each backend, one at a time.

    Raises:
        SeglineError: a backend cannot run on ``device``, or a case cannot be read.
    """
    times = []
    for number, name in enumerate(backends):
        progress(number / len(backends), f"{name}: {len(cases)} cases, {repeats} times")
        times.append(_time_backend(open_backend(name, model, device), model, manifest, cases, repeats))
    progress(1.0, f"{len(backends)} backends timed")
    return Benchmark(
        machine=_describe_machine(device),
        threads=torch.get_num_threads(),
        cases=tuple(cases),
        backends=tuple(times),
        peak_memory_bytes=peak_memory_bytes(),
    )


def _describe_machine(device: str) -> str:
    gpu = torch.cuda.get_device_name() if device != "cpu" and torch.cuda.is_available() else "no GPU used"
    return f"{processor_name()}, {platform.system()}, {gpu}"


def _time_backend(
    backend: Backend, model: Model, manifest: Manifest, cases: Sequence[str], repeats: int
) -> BackendTimes:
    with tempfile.TemporaryDirectory() as scratch:
        _time_case(backend, model, manifest, cases[0], Path(scratch))
        laps = [_time_case(backend, model, manifest, c, Path(scratch)) for _ in range(repeats) for c in cases]
    totals_ms = sorted(1000 * sum(lap.values()) for lap in laps)
    return BackendTimes(
        backend=backend.name,
        version=backend.version,
        runs=len(laps),
        stages_ms={stage: 1000 * statistics.median(lap[stage] for lap in laps) for stage in STAGES},
        total_ms=statistics.median(totals_ms),
        total_p95_ms=totals_ms[math.ceil(0.95 * len(totals_ms)) - 1],
        volumes_per_minute=60_000 * len(laps) / sum(totals_ms),
    )


def _time_case(
    backend: Backend, model: Model, manifest: Manifest, case: str, folder: Path
) -> Mapping[str, float]:
    """Seconds of each stage of one prediction."""
    watch = Stopwatch()
    with watch.lap("load"):
        volume = manifest.image(manifest.case(case))
    mask = Predictor(model.plan, backend, watch)(volume)
    with watch.lap("save"):
        write_volume(folder / "mask.nii.gz", mask)
    return watch.seconds
