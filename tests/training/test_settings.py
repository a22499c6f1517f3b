"""Every network, optimizer, schedule and sampler trains, whichever the plan names."""

from pathlib import Path

import pytest

from segline.data.cases.index import CaseIndex
from segline.model.package import Model
from segline.plan import Plan, merged
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

OTHERS = [
    {"optimizer": {"name": "sgd"}},
    {"optimizer": {"name": "adam"}},
    {"optimizer": {"name": "rmsprop", "momentum": 0.9}},
    {"schedule": {"name": "polynomial"}},
    {"sampler": {"name": "uniform"}},
    {"samples_per_volume": 2},
    {"gradient_clip": 1.0},
]


def trained(plan: Plan, index: CaseIndex, folder: Path) -> Model:
    """The package of a training of a few steps."""
    cases = index.open(plan.split.train), index.open(plan.split.val)
    trainer = Trainer(plan, *cases, Checkpoint(folder / "checkpoint.pt"))
    history = trainer.run()
    assert history.steps == 2 * trainer.sampler.steps_per_epoch
    return Model.write(folder / "model", plan, trainer.best_weights, history)


def short(plan: Plan, **parts: object) -> Plan:
    """The plan with a training of two epochs; ``parts`` are merged into it."""
    over = {"training": {"epochs": 2, "validations": 1}}
    return Plan.parse(merged(merged(plan.model_dump(mode="json"), over), parts), "plan")


@pytest.mark.parametrize("part", OTHERS, ids=lambda part: next(iter(part)))
def test_the_weights_are_others(part: dict, tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path) -> None:
    usual = trained(short(tiny_plan), tiny_index, tmp_path / "usual")
    other = trained(short(tiny_plan, training=part), tiny_index, tmp_path / "other")
    assert usual.weights.read_bytes() != other.weights.read_bytes()
