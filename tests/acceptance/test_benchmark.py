import os
from pathlib import Path

import pytest
import torch

from segline.acceptance.benchmark import _end_to_end, _network_alone, _Run, benchmark
from segline.acceptance.times import STAGES, Benchmark, Percentiles
from segline.backends import BACKENDS
from segline.common.errors import SeglineError
from segline.data.manifest import Manifest
from segline.imaging.geometry import as_shape
from segline.imaging.preprocessing import Preprocessor
from segline.inference.tiling import Tiling
from segline.machine.nvidia import nvidia_driver_missing
from segline.machine.processor import processor_name
from segline.model.package import ONNX, Model
from segline.plan import Plan

MIB = 2**20


def run(seconds: float, network_seconds: float, windows: int) -> _Run:
    return _Run({"network": network_seconds}, seconds, windows)


def windows_of(plan: Plan, manifest: Manifest, case: str) -> int:
    """Into how many windows a case is cut."""
    preprocessor, volume = Preprocessor(plan.preprocessing), manifest.image(manifest.case(case))
    shape = as_shape(preprocessor.image(volume, preprocessor.place(volume)).shape[1:])
    return len(Tiling.of(shape, plan.inference, plan.network.total_stride).starts)


@pytest.fixture(scope="module")
def told() -> list[tuple[float, str]]:
    """What the benchmark said of its progress."""
    return []


@pytest.fixture(scope="module")
def result(tiny_model: Model, phantoms: Manifest, told: list[tuple[float, str]]) -> Benchmark:
    """Every backend on two cases, twice."""
    cases = tiny_model.plan.split.test
    return benchmark(
        tiny_model, list(BACKENDS), phantoms, cases, repeats=2, progress=lambda *words: told.append(words)
    )


def test_every_backend_is_timed_or_listed_with_the_reason_why_not(result: Benchmark) -> None:
    timed = [times.backend for times in result.backends]
    absent = [other.backend for other in result.unavailable]
    assert sorted([*timed, *absent]) == sorted(BACKENDS)
    assert "pytorch" in timed
    assert all(other.reason for other in result.unavailable)


def test_every_case_is_predicted_as_often_as_asked_after_a_run_that_does_not_count(result: Benchmark) -> None:
    assert result.cases == ("phantom_004", "phantom_005")
    assert result.warm_up_runs == 2
    assert {times.runs for times in result.backends} == {4}
    assert all(times.version for times in result.backends)


def test_every_stage_takes_time(result: Benchmark) -> None:
    for times in result.backends:
        assert tuple(times.stages_ms) == STAGES
        assert min(spread.p50 for spread in times.stages_ms.values()) > 0


def test_percentiles_rise(result: Benchmark) -> None:
    for times in result.backends:
        for spread in (*times.stages_ms.values(), times.end_to_end.volume_ms):
            assert 0 < spread.p50 <= spread.p95 <= spread.p99


def test_a_percentile_is_the_nearest_rank() -> None:
    assert Percentiles.of(range(1, 101)) == Percentiles(p50=50, p95=95, p99=99)
    assert Percentiles.of(range(20, 0, -1)) == Percentiles(p50=10, p95=19, p99=20)
    assert Percentiles.of(range(1, 20)) == Percentiles(p50=10, p95=19, p99=19)
    assert Percentiles.of([7.0]) == Percentiles(p50=7, p95=7, p99=7)


def test_end_to_end_is_more_than_the_network_alone(result: Benchmark) -> None:
    for times in result.backends:
        whole, network = times.end_to_end.volume_ms, times.stages_ms["network"]
        assert 0 < network.p50 < whole.p50
        assert sum(spread.p50 for spread in times.stages_ms.values()) < 2 * whole.p50


def test_the_volumes_a_minute_count_everything_from_file_to_file() -> None:
    whole = _end_to_end([run(1.0, 0.2, 4), run(3.0, 0.6, 8)])
    assert whole.volumes_per_minute == 30
    assert whole.volume_ms == Percentiles(p50=1000, p95=3000, p99=3000)


def test_the_windows_a_second_count_the_network_alone() -> None:
    alone = _network_alone([run(1.0, 0.2, 4), run(3.0, 0.6, 8)])
    assert alone is not None
    assert (alone.windows, alone.windows_per_second) == (12, pytest.approx(15))
    assert (alone.window_ms.p50, alone.window_ms.p99) == pytest.approx((50, 75))


def test_where_no_windows_were_counted_there_are_no_figures_of_them() -> None:
    assert _network_alone([run(1.0, 0.2, 0)]) is None


def test_the_windows_of_every_timed_run_are_counted(
    result: Benchmark, tiny_model: Model, phantoms: Manifest
) -> None:
    once = sum(windows_of(tiny_model.plan, phantoms, case) for case in result.cases)
    assert {times.network and times.network.windows for times in result.backends} == {2 * once}


def test_the_peak_memory_of_a_backend_is_its_own(result: Benchmark) -> None:
    held = torch.ones(2**30, dtype=torch.uint8)
    peaks = [times.peak_host_bytes for times in result.backends]
    assert held.nbytes and all(100 * MIB < peak < 2**30 for peak in peaks)
    assert len(set(peaks)) == len(peaks)


def test_pytorch_says_that_it_doubles_a_single_window_on_a_cpu(result: Benchmark) -> None:
    notes = {times.backend: times.note for times in result.backends}
    on_gpu = torch.cuda.is_available()
    assert on_gpu or "one of two" in (notes.pop("pytorch") or "")
    assert on_gpu or set(notes.values()) == {None}


def test_the_machine_is_described(tiny_model: Model, phantoms: Manifest) -> None:
    machine = benchmark(tiny_model, [], phantoms, ["phantom_004"]).machine
    assert machine.processor == processor_name()
    assert machine.cpus == len(os.sched_getaffinity(0))
    assert machine.threads == torch.get_num_threads()
    assert machine.memory_bytes > 2**28
    assert machine.gpu == nvidia_driver_missing() or "driver" in machine.gpu or "nvidia-ml-py" in machine.gpu


@pytest.mark.skipif(nvidia_driver_missing() is None, reason="this machine has an NVIDIA GPU")
def test_without_a_gpu_no_device_memory_and_energy_are_told(result: Benchmark) -> None:
    assert {times.device for times in result.backends} == {None}


def test_a_cpu_is_not_asked_for_its_gpu(tiny_model: Model, phantoms: Manifest) -> None:
    assert benchmark(tiny_model, [], phantoms, [], "cpu").machine.gpu == "no GPU was asked for"


def test_the_scalars_name_backend_figure_and_unit(result: Benchmark) -> None:
    (pytorch,) = (times for times in result.backends if times.backend == "pytorch")
    found = result.scalars
    assert found["pytorch_volume_ms_p50"] == pytorch.end_to_end.volume_ms.p50
    assert found["pytorch_volumes_per_minute"] == pytorch.end_to_end.volumes_per_minute
    assert found["pytorch_network_windows_per_second"] > 0
    assert found["pytorch_peak_host_mib"] == pytorch.peak_host_bytes / MIB


def test_progress_is_told_backend_by_backend(result: Benchmark, told: list[tuple[float, str]]) -> None:
    assert [done for done, _ in told] == [n / len(BACKENDS) for n in range(len(BACKENDS) + 1)]
    assert "pytorch: 2 cases, 2 times" in told[0][1]
    assert len(result.backends) + len(result.unavailable) == len(BACKENDS)


def test_a_benchmark_is_read_as_it_was_written(result: Benchmark, tmp_path: Path) -> None:
    result.write(tmp_path / "benchmark.json")
    assert Benchmark.read(tmp_path / "benchmark.json") == result


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]"])
def test_a_damaged_benchmark_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "benchmark.json").write_text(content)
    with pytest.raises(SeglineError, match="not a benchmark"):
        Benchmark.read(tmp_path / "benchmark.json")


def test_a_missing_benchmark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match="cannot be read"):
        Benchmark.read(tmp_path / "benchmark.json")


def test_an_unknown_case_is_refused(tiny_model: Model, phantoms: Manifest) -> None:
    with pytest.raises(SeglineError, match="absent: no such case"):
        benchmark(tiny_model, ["pytorch"], phantoms, ["absent"])


def test_a_damaged_package_is_refused_and_not_called_unavailable(
    tiny_model: Model, phantoms: Manifest, tmp_path: Path
) -> None:
    damaged = tiny_model.copied_to(tmp_path / "model")
    (damaged.folder / ONNX).write_bytes(b"no graph")
    with pytest.raises(SeglineError, match="changed after export"):
        benchmark(damaged, ["onnxruntime"], phantoms, ["phantom_004"])
