from pathlib import Path

import pytest
import torch

from segline.backends import BACKENDS
from segline.benchmark import STAGES, Benchmark, benchmark
from segline.dataset import Manifest
from segline.errors import SeglineError
from segline.machine import processor_name
from segline.model import Model


@pytest.fixture(scope="module")
def told() -> list[tuple[float, str]]:
    """What the benchmark said of its progress."""
    return []


@pytest.fixture(scope="module")
def result(tiny_model: Model, phantoms: Manifest, told: list[tuple[float, str]]) -> Benchmark:
    """Both backends on two cases, twice."""
    cases = tiny_model.plan.split.test
    return benchmark(
        tiny_model, list(BACKENDS), phantoms, cases, repeats=2, progress=lambda *words: told.append(words)
    )


def test_every_backend_is_timed_on_every_case_as_often_as_asked(result: Benchmark) -> None:
    assert [times.backend for times in result.backends] == list(BACKENDS)
    assert [times.runs for times in result.backends] == [4] * len(BACKENDS)
    assert result.cases == ("phantom_004", "phantom_005")
    assert all(times.version for times in result.backends)


def test_every_stage_takes_time(result: Benchmark) -> None:
    for times in result.backends:
        assert tuple(times.stages_ms) == STAGES
        assert min(times.stages_ms.values()) > 0


def test_the_stages_of_one_run_add_up_to_its_total(tiny_model: Model, phantoms: Manifest) -> None:
    once = benchmark(tiny_model, ["pytorch"], phantoms, ["phantom_004"], repeats=1)
    (times,) = once.backends
    assert sum(times.stages_ms.values()) == pytest.approx(times.total_ms)
    assert times.total_p95_ms == times.total_ms
    assert times.volumes_per_minute == pytest.approx(60_000 / times.total_ms)


def test_the_total_is_about_the_sum_of_its_stages(result: Benchmark) -> None:
    for times in result.backends:
        assert 0.5 < sum(times.stages_ms.values()) / times.total_ms < 2
        assert times.total_ms <= times.total_p95_ms
        assert 0 < times.volumes_per_minute < 60_000


def test_the_machine_is_described(result: Benchmark) -> None:
    assert result.machine == f"{processor_name()}, Linux, no GPU used"
    assert result.threads == torch.get_num_threads()
    assert result.peak_memory_bytes > 2**26


def test_progress_is_told_backend_by_backend(result: Benchmark, told: list[tuple[float, str]]) -> None:
    assert [done for done, _ in told] == [n / len(BACKENDS) for n in range(len(BACKENDS) + 1)]
    assert "pytorch: 2 cases, 2 times" in told[0][1]
    assert len(result.backends) == len(BACKENDS)


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
