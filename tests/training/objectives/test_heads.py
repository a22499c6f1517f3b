"""The loss of a network that answers at several depths."""

from pathlib import Path

import pytest
import torch

from segline.data.cases.index import CaseIndex
from segline.model.package import Model
from segline.networks.catalogue import build_network, build_network_to_train
from segline.networks.weights import load_network
from segline.plan import Plan, merged
from segline.training.objectives.heads import loss_of_heads
from segline.training.objectives.masks import MASKS
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

from ...conftest import small_plan

DYNUNET = {"name": "dynunet", "channels": [4, 4, 4, 8, 8], "strides": [[1, 1, 1], *[[2, 2, 2]] * 3]}
SUPERVISED = {**DYNUNET, "deep_supervision": True}


def planned(network: dict, of: Plan) -> Plan:
    """The plan with another network, and windows as large as its patch."""
    windows = dict.fromkeys(("smallest_window", "largest_window"), of.training.patch_size)
    values = merged(of.model_dump(mode="json"), {"inference": windows})
    return Plan.parse({**values, "network": network}, "plan")


def test_each_head_weighs_half_of_the_finer_one_and_all_weigh_one() -> None:
    plan = planned(SUPERVISED, small_plan())
    scores = torch.randn(2, 3, 2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(2, 8, 8, 8, dtype=torch.uint8)
    target[:, 2:6] = 1
    one, two, three = (MASKS.loss(plan, answer, target) for answer in scores.unbind(1))
    wanted = (4 * one + 2 * two + three) / 7
    assert float(loss_of_heads(MASKS, plan, scores, target)) == pytest.approx(float(wanted))


def test_without_heads_it_is_the_objective_s() -> None:
    plan = small_plan()
    scores, target = torch.randn(2, 2, 8, 8, 8), torch.zeros(2, 8, 8, 8, dtype=torch.uint8)
    assert torch.equal(loss_of_heads(MASKS, plan, scores, target), MASKS.loss(plan, scores, target))


def test_heads_answer_in_training_alone() -> None:
    network = build_network_to_train(planned(SUPERVISED, small_plan()))
    windows = torch.rand(2, 1, 16, 16, 16)
    assert network.train()(windows).shape == (2, 3, 2, 16, 16, 16)
    assert network.eval()(windows).shape == (2, 2, 16, 16, 16)


def test_heads_are_no_part_of_the_weights(tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path) -> None:
    short = {"training": {"epochs": 2, "validations": 1}}
    plan = planned(SUPERVISED, Plan.parse(merged(tiny_plan.model_dump(mode="json"), short), "plan"))
    cases = tiny_index.open(plan.split.train), tiny_index.open(plan.split.val)
    trainer = Trainer(plan, *cases, Checkpoint(tmp_path / "checkpoint.pt"))
    before = {name: value.clone() for name, value in trainer.state.network.state_dict().items()}
    history = trainer.run()
    heads = [name for name in before if "deep_supervision_heads" in name]
    after = trainer.state.network.state_dict()
    assert heads
    assert not any(torch.equal(after[name], before[name]) for name in heads if name.endswith("weight"))
    model = Model.write(tmp_path / "model", plan, trainer.best_weights, history)
    plain = build_network(planned(DYNUNET, tiny_plan)).state_dict()
    stored = load_network(model.weights, plan).state_dict()
    assert {name: value.shape for name, value in stored.items()} == {
        name: value.shape for name, value in plain.items()
    }


def test_a_layer_of_two_names_is_stored_once(tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path) -> None:
    plan = planned(DYNUNET, tiny_plan)
    trainer = Trainer(plan, tiny_index.open(plan.split.train), [], Checkpoint(tmp_path / "checkpoint.pt"))
    trainer.state.choose(torch.zeros(1))
    model = Model.write(tmp_path / "model", plan, trainer.best_weights, trainer.history())
    parameters = sum(weight.numel() for weight in build_network(plan).parameters())
    assert model.weights.stat().st_size < 1.5 * 4 * parameters + 200 * len(trainer.best_weights)
