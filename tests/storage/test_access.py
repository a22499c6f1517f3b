"""Runs by their bare names, and a store that is not named: in the bucket of the environment."""

from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.runs.remote import open_run
from segline.storage.access import Access

ON_A_CLUSTER = Access.from_environment({"SEGLINE_BUCKET": "s3://segline/", "SEGLINE_SCRATCH": "/segline"})
HERE = Access.from_environment({})


def test_a_bare_name_is_a_run_of_the_bucket() -> None:
    assert ON_A_CLUSTER.run_at("segline-x7k2p") == "s3://segline/runs/segline-x7k2p"
    assert ON_A_CLUSTER.run_at("segline-x7k2p/folds/0") == "s3://segline/runs/segline-x7k2p/folds/0"


@pytest.mark.parametrize("place", ["/runs/one", "s3://other/runs/one"])
def test_a_place_stays_a_place(place: str) -> None:
    assert ON_A_CLUSTER.run_at(place) == place


def test_without_a_bucket_a_name_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_run("one", HERE) as run:
        assert run.folder == Path("one")


def test_the_store_is_beside_the_runs_unless_one_is_named() -> None:
    assert ON_A_CLUSTER.store_at("") == "s3://segline/store"
    assert ON_A_CLUSTER.store_at("/store") == HERE.store_at("/store") == "/store"
    with pytest.raises(SeglineError, match="SEGLINE_BUCKET is not set"):
        HERE.depot("")
