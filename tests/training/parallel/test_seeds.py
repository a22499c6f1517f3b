"""Networks from several seeds, trained at once: each is what it would be alone."""

import itertools
from pathlib import Path

import pytest
import torch

from segline.backends import open_backend
from segline.common.errors import SeglineError
from segline.data.cases.index import CaseIndex
from segline.model.history import TrainingPoint
from segline.model.package import Model
from segline.plan import Plan, merged
from segline.runs.run import Run
from segline.training.memory import check_memory
from segline.training.parallel.seeds import networks_at_once, train_seeds
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

from ...conftest import small_plan
from ...place import Place
from ..test_trainer import InterruptionError, assert_same, interrupt_at

CPU = torch.device("cpu")
SEEDS = 2


@pytest.fixture(scope="module")
def plan(tiny_plan: Plan) -> Plan:
    """Of two networks, and 20 steps for each."""
    changes = {
        "ensemble": {"seeds": SEEDS},
        "training": {"epochs": 10, "validations": 2},
        "inference": {"keep_largest": []},
    }
    return Plan.parse(merged(tiny_plan.model_dump(mode="json"), changes), "plan")


def trainer(plan: Plan, index: CaseIndex, checkpoint: Path) -> Trainer:
    return Trainer(
        plan, index.open(plan.split.train), index.open(plan.split.val), Checkpoint(checkpoint, "key")
    )


def test_each_seed_has_a_plan_of_one_network(plan: Plan, tiny_plan: Plan) -> None:
    each = plan.of_each_seed()
    assert [one.seed for one in each] == [plan.seed, plan.seed + 1]
    assert [one.ensemble.seeds for one in each] == [1, 1]
    assert len({one.digest for one in each}) == SEEDS
    assert tiny_plan.of_each_seed() == (tiny_plan,)


def test_one_seed_is_no_part_of_a_plans_digest(plan: Plan, tiny_plan: Plan) -> None:
    assert "ensemble" not in tiny_plan.model_dump()
    assert plan.model_dump()["ensemble"]["seeds"] == SEEDS


def test_networks_of_folds_and_of_seeds_multiply() -> None:
    assert small_plan(ensemble={"members": 5, "seeds": 3}).ensemble.count == 15


def test_each_network_is_what_it_would_be_alone(plan: Plan, tiny_index: CaseIndex, tmp_path: Path) -> None:
    each, paths = plan.of_each_seed(), [tmp_path / "0.pt", tmp_path / "1.pt"]
    told: list[float] = []
    saves: list[int] = []
    heard: list[TrainingPoint] = []
    train_seeds(
        each,
        tiny_index,
        paths,
        ["key"] * SEEDS,
        "cpu",
        lambda done, _: told.append(done),
        saves.append,
        listener=heard.append,
    )
    for number, (one, path) in enumerate(zip(each, paths, strict=True)):
        alone = trainer(one, tiny_index, tmp_path / f"alone{number}.pt")
        wanted = alone.run()
        found = trainer(one, tiny_index, path)
        assert found.step == wanted.steps
        assert_same(found.best_weights, alone.best_weights)
        of_network = [point.step for point in heard if point.network == number]
        assert of_network == [point.step for point in wanted.points]
    assert told[-1] == 1 and sorted(set(saves)) == [0, 1]


def test_what_was_interrupted_goes_on_as_if_unbroken(
    plan: Plan, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    each, paths = plan.of_each_seed(), [tmp_path / "0.pt", tmp_path / "1.pt"]
    with pytest.raises(InterruptionError):
        train_seeds(each, tiny_index, paths, ["key"] * SEEDS, "cpu", interrupt_at(0.5))
    assert trainer(each[0], tiny_index, paths[0]).step >= 10
    heard: list[TrainingPoint] = []
    train_seeds(each, tiny_index, paths, ["key"] * SEEDS, listener=heard.append)
    for number, (one, path) in enumerate(zip(each, paths, strict=True)):
        unbroken = trainer(one, tiny_index, tmp_path / f"unbroken{number}.pt")
        wanted = unbroken.run().points
        assert [p.step for p in heard if p.network == number] == [point.step for point in wanted]
        assert_same(trainer(one, tiny_index, path).best_weights, unbroken.best_weights)


def test_the_error_of_one_is_the_training_s(plan: Plan, tiny_index: CaseIndex, tmp_path: Path) -> None:
    paths = [tmp_path / "0.pt", tmp_path / "1.pt"]
    paths[1].write_bytes(b"junk")
    with pytest.raises(SeglineError, match=r"1\.pt: a damaged checkpoint"):
        train_seeds(plan.of_each_seed(), tiny_index, paths, ["key"] * SEEDS)


def test_a_trainer_makes_one_network(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match=r"ensemble\.seeds is 2, and a trainer makes one network"):
        Trainer(plan, [], [], Checkpoint(tmp_path / "checkpoint.pt"))


def test_networks_that_do_not_fit_together_are_refused(tiny_plan: Plan) -> None:
    check_memory(tiny_plan, CPU)
    with pytest.raises(SeglineError, match=r"1000000 networks at once needs about .* GiB"):
        check_memory(tiny_plan, CPU, networks=1_000_000)


def test_on_a_cpu_all_share_its_cores(plan: Plan) -> None:
    assert networks_at_once(plan, "cpu") == SEEDS
    assert networks_at_once(small_plan(), "cpu") == 1


def test_the_stage_ships_them_as_one_model(plan: Plan, tiny_index: CaseIndex, tmp_path: Path) -> None:
    place = Place(tmp_path, plan, tiny_index)
    assert place.train() == plan
    model, run = Model.open(tmp_path / "model"), Run(place.run)
    assert run.history is not None and len(run.history.kept_steps) == SEEDS
    assert run.history.steps == 20 * SEEDS and [p[-1].step for p in run.history.networks] == [20, 20]
    assert "with the weights of steps " in run.stages[0].reason
    assert not list((place.store / "checkpoints").iterdir())
    windows = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    theirs = []
    for number, one in enumerate(plan.of_each_seed()):
        alone = trainer(one, tiny_index, tmp_path / f"{number}.pt")
        history = alone.run()
        package = Model.write(tmp_path / str(number), one, alone.best_weights, history)
        theirs.append(open_backend("pytorch", package, "cpu")(windows))
    for first, second in itertools.pairwise(theirs):
        assert not torch.allclose(first, second, atol=1e-2)
    ours = open_backend("pytorch", model, "cpu")(windows)
    assert torch.allclose(ours, sum(theirs, torch.zeros_like(ours)) / SEEDS, atol=1e-5)
