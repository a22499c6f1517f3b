"""Cases that come from a bucket while a training is at work."""

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from segline.common.errors import SeglineError
from segline.data.cases.arriving import ArrivingIndex, expect, source_of
from segline.data.cases.building import preprocess
from segline.data.cases.index import CaseIndex
from segline.data.manifest import Manifest
from segline.plan import Plan
from segline.storage.access import Access
from segline.training.batches.patches import patch_sampler
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

from ...s3_server import S3Server, see_the_disk

LOCATION = "s3://arriving/store"


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[Path]:
    with s3_server.lent("arriving") as folder:
        yield folder


@pytest.fixture
def index(
    s3_server: S3Server, bucket: Path, phantoms: Manifest, tiny_plan: Plan, tmp_path: Path
) -> CaseIndex:
    """The cases of the tiny plan, in a bucket."""
    assert bucket.is_dir()
    access = Access(s3_server.settings, tmp_path / "maker")
    depot = access.depot(LOCATION)
    done = dict(preprocess(phantoms, tiny_plan, depot, workers=1))
    return CaseIndex.of(phantoms, tiny_plan, depot, sum(done.values()))


@pytest.fixture
def here(s3_server: S3Server, tmp_path: Path) -> Access:
    """A machine that has none of them yet."""
    return Access(s3_server.settings, tmp_path / "here")


def test_a_training_sees_what_it_sees_of_cases_that_are_here(
    index: CaseIndex, here: Access, tiny_plan: Plan, tiny_index: CaseIndex
) -> None:
    names = tiny_plan.split.train
    arriving = patch_sampler(tiny_plan, source_of(index, here).open(names))
    local = patch_sampler(tiny_plan, source_of(tiny_index, here).open(names))
    for step in range(4):
        for ours, theirs in zip(arriving.batch(step), local.batch(step), strict=True):
            assert torch.equal(ours, theirs)


def test_cases_come_in_the_order_in_which_they_are_expected(
    index: CaseIndex, here: Access, tiny_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segline.data.cases.arriving._AT_ONCE", 1)
    names = list(index.keys)
    cases = ArrivingIndex(index, here).open(names)
    order = [3, 0, 5, 1, 4, 2]
    expect(cases, order)
    for number in order:
        assert cases[number].name == names[number]
    folder = here.depot(LOCATION).path("cases")
    made = sorted((folder / index.keys[name] for name in names), key=lambda path: path.stat().st_ctime_ns)
    assert [path.name for path in made] == [index.keys[names[number]] for number in order]
    assert len(tiny_plan.split.train) < len(names)


def test_one_that_is_wanted_now_comes_before_those_that_are_expected(
    index: CaseIndex, here: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segline.data.cases.arriving._AT_ONCE", 1)
    source = ArrivingIndex(index, here)
    cases = source.open(list(index.keys))
    expect(cases, range(len(cases)))
    last = cases[len(cases) - 1]
    assert np.isfinite(last.image).all()
    assert not here.depot(LOCATION).path(f"cases/{cases.keys[-2]}").is_dir()
    assert [case.name for case in cases[:2]] == list(index.keys)[:2]


def test_a_trainer_says_what_it_needs_first(
    index: CaseIndex, here: Access, tiny_plan: Plan, tmp_path: Path
) -> None:
    source = source_of(index, here)
    train, val = source.open(tiny_plan.split.train), source.open(tiny_plan.split.val)
    Trainer(tiny_plan, train, val, Checkpoint(tmp_path / "checkpoint.pt", "tiny"))
    for case in (*train, *val):
        assert case.image.shape[1:] == case.shape
    assert sum(1 for _ in here.depot(LOCATION).path("cases").glob("[!.]*")) == 4


def test_what_cannot_be_fetched_is_told_where_it_is_needed(
    index: CaseIndex, here: Access, bucket: Path
) -> None:
    name = next(iter(index.keys))
    shutil.rmtree(bucket / "store/cases" / index.keys[name])
    see_the_disk()
    cases = source_of(index, here).open([name])
    with pytest.raises(SeglineError, match="there is no such folder"):
        _ = cases[0]


def test_an_unknown_case_is_told_at_once(index: CaseIndex, here: Access) -> None:
    with pytest.raises(SeglineError, match="case nobody: not among the 6 preprocessed cases"):
        source_of(index, here).open(["nobody"])


def test_another_process_has_arrivals_of_its_own(index: CaseIndex, here: Access) -> None:
    source = source_of(index, here)
    assert source.open(list(index.keys))[0].name == "phantom_000"
    again = pickle.loads(pickle.dumps(source))
    assert again.open(list(index.keys))[1].name == "phantom_001"
