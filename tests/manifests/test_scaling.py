"""SCALING.md says what the arithmetic says, and the arithmetic holds."""

import pytest

from benchmarks import fanout
from benchmarks.fanout import FanOut
from pipelines.cluster.footprint import STAGES
from segline.data.targets.label_maps import LOCATIONS_A_LABEL

from .conftest import Document
from .test_kustomize import named

pytestmark = pytest.mark.heavy


def test_the_page_shows_what_the_script_prints() -> None:
    page = fanout.SCALING.read_text(encoding="utf-8")
    assert page == fanout.with_tables(page)


def test_a_stale_page_is_noticed() -> None:
    page = fanout.SCALING.read_text(encoding="utf-8")
    assert fanout.with_tables(page.replace("| 100,000 |", "| 99,999 |")) == page
    with pytest.raises(SystemExit, match="no place for the table"):
        fanout.with_tables(page.replace(fanout.BEGIN, ""))


@pytest.mark.parametrize("volumes", fanout.VOLUMES)
def test_every_volume_is_in_a_shard_and_no_shard_is_empty(volumes: int) -> None:
    plan = FanOut(volumes)
    assert plan.shards * plan.shard >= volumes > (plan.shards - 1) * plan.shard
    assert plan.shards <= fanout.MOST_SHARDS
    assert plan.pods <= fanout.MOST_PODS


@pytest.mark.parametrize("volumes", [1_000, 10_000, 100_000])
def test_the_simulation_takes_no_less_than_the_ideal_and_little_more(volumes: int) -> None:
    plan = FanOut(volumes)
    times = [plan.simulated_s(seed) for seed in range(5)]
    assert 0.97 * plan.ideal_s < min(times)
    assert max(times) < 1.5 * plan.ideal_s


def test_a_wide_fan_out_waits_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    many = FanOut(100_000)
    here = many.simulated_s()
    monkeypatch.setattr(fanout, "STORE_MBPS", 250.0)
    assert many.simulated_s() > 3 * here


def test_all_shards_fit_into_a_workflow_and_a_task_a_volume_does_not() -> None:
    assert fanout.MOST_SHARDS * fanout.compressed_bytes_a_shard() < 0.1 * fanout.WORKFLOW_LIMIT_BYTES
    assert 1_000 < fanout.most_shards() < 100_000


def test_the_limits_are_those_of_the_stages_and_the_overlays(rendered: dict[str, list[Document]]) -> None:
    table = fanout.tables()["What breaks first"]
    assert f"timeout of {STAGES['preprocess'].hours} h" in table
    assert f"train's {STAGES['train'].memory[1].removesuffix('Gi')} GiB" in table
    assert LOCATIONS_A_LABEL * 4 * 4 / 1e3 == fanout.LOCATIONS_KB
    for overlay, size in {"kind": "20 GiB", "gpu": "2 TiB"}.items():
        (claim,) = named(rendered[overlay], "StatefulSet", "minio")["spec"]["volumeClaimTemplates"]
        asked = claim["spec"]["resources"]["requests"]["storage"]
        assert f"{asked[:-2]} {asked[-2:]}B" == size
        assert f"MinIO's volume of {size}" in table
    for stage in ("download", "train"):
        assert f"{stage}'s scratch of {STAGES[stage].scratch.removesuffix('Gi')} GiB" in table
