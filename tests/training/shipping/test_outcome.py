"""What is shipped is what was trained, with the post-processing that the validation cases ask for."""

import functools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from segline.data.cases.index import CaseIndex
from segline.inference.stitching import WindowScorer
from segline.model.history import History, TrainingPoint
from segline.networks.weights import load_network
from segline.plan import Plan, merged
from segline.training.objectives.dice import validation_dice
from segline.training.shipping.outcome import Shipment, ship

from ...conftest import TinyTraining

CPU = torch.device("cpu")
SEEDS = 2


@pytest.fixture
def weights(tiny_training: TinyTraining) -> dict[str, Tensor]:
    model = tiny_training.model
    return load_network(model.weights, model.plan).state_dict()


@pytest.fixture(scope="module")
def of_two(tiny_plan: Plan) -> Plan:
    return Plan.parse(merged(tiny_plan.model_dump(), {"ensemble": {"seeds": SEEDS}}), "plan")


def history(steps: int, minutes: float, kept: int, resumed: int | None) -> History:
    point = TrainingPoint(step=steps, epoch=3, minutes=minutes, loss=0.2, learning_rate=1e-3)
    return History(
        device="cpu",
        seed=0,
        resumed_from_step=resumed,
        steps=steps,
        minutes=minutes,
        kept_steps=(kept,),
        best_score=0.5,
        points=(point,),
    )


def shipped(
    plan: Plan, weights: Sequence[dict[str, Tensor]], histories: Sequence[History], index: CaseIndex
) -> Shipment:
    cases = index.open(plan.split.train), index.open(plan.split.val)
    return ship(plan, weights, histories, *cases, CPU)


def answers(monkeypatch: pytest.MonkeyPatch, found: tuple[int, ...]) -> list[float]:
    """Let validation find that ``found`` are better in one piece; gives the Dice of each network it is of."""
    asked: list[float] = []

    def ask(answer: tuple[int, ...], network: WindowScorer, *of: Any) -> tuple[int, ...]:
        asked.append(float(validation_dice(network, *of).mean()))
        return answer

    monkeypatch.setattr(
        "segline.training.objectives.masks.better_in_one_piece", functools.partial(ask, found)
    )
    return asked


@pytest.mark.parametrize("found", [(1,), ()])
def test_the_plan_has_the_postprocessing_that_the_weights_kept_ask_for(
    found: tuple[int, ...],
    tiny_training: TinyTraining,
    tiny_index: CaseIndex,
    weights: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, trained = tiny_training.model.plan, tiny_training.history
    asked = answers(monkeypatch, found)
    made = shipped(plan, [weights], [trained], tiny_index)
    assert made.plan == (plan.keeping_largest(found) if found else plan)
    assert asked == [pytest.approx(trained.best_score, abs=1e-3)]
    assert made.history == trained


@pytest.mark.parametrize("kept", [(), (1,)])
def test_postprocessing_that_the_plan_names_is_shipped_unasked(
    kept: tuple[int, ...],
    tiny_training: TinyTraining,
    tiny_index: CaseIndex,
    weights: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, asked = tiny_training.model.plan.keeping_largest(kept), answers(monkeypatch, (1,))
    assert shipped(plan, [weights], [tiny_training.history], tiny_index).plan is plan
    assert not asked


def test_several_networks_become_the_mean_of_their_scores(
    of_two: Plan, tiny_index: CaseIndex, weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {name: value * 1.1 if value.is_floating_point() else value for name, value in weights.items()}
    asked = answers(monkeypatch, ())
    made = shipped(of_two, [weights, other], [history(30, 2, 20, None), history(40, 3, 40, 10)], tiny_index)
    assert made.weights.keys() == {f"members.{n}.{name}" for n in range(SEEDS) for name in weights}
    for name in weights:
        assert torch.equal(made.weights[f"members.0.{name}"], weights[name])
        assert torch.equal(made.weights[f"members.1.{name}"], other[name])
    assert asked == [made.history.best_score] and made.history.best_score != 0.5


def test_their_histories_stand_beside_each_other(
    of_two: Plan, tiny_index: CaseIndex, weights: dict[str, Tensor]
) -> None:
    histories = [history(30, 2, 20, None), history(40, 3, 40, 10)]
    made = shipped(of_two, [weights, weights], histories, tiny_index).history
    assert (made.steps, made.minutes, made.kept_steps, made.resumed_from_step) == (70, 3, (20, 40), 10)
    assert made.kept == "steps 20 and 40"
    assert [[point.step for point in points] for points in made.networks] == [[30], [40]]


def test_the_mean_of_one_network_twice_is_that_network(
    of_two: Plan, tiny_training: TinyTraining, tiny_index: CaseIndex, weights: dict[str, Tensor]
) -> None:
    made = shipped(of_two, [weights, weights], [history(1, 1, 1, None)] * SEEDS, tiny_index)
    assert made.history.best_score == pytest.approx(tiny_training.history.best_score, abs=1e-3)


def test_weights_of_too_few_seeds_are_a_defect(
    of_two: Plan, tiny_index: CaseIndex, weights: dict[str, Tensor]
) -> None:
    with pytest.raises(ValueError, match="shorter"):
        shipped(of_two, [weights], [history(1, 1, 1, None)], tiny_index)
