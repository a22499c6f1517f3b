"""What a training ships: its network, or those of several seeds as one, and what is made of their answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segline.data.cases.case import Case
from segline.model.history import History
from segline.networks.catalogue import build_network
from segline.networks.ensemble import separate
from segline.networks.on_cpu import quicken
from segline.networks.running import channels_last
from segline.plan import Plan
from segline.training.objectives.masks import MASKS
from segline.training.objectives.objective import Objective
from segline.training.validation import inferring


@dataclass(frozen=True)
class Shipment:
    """What becomes a model package: the plan, its network's state dict, and how they came about."""

    plan: Plan
    weights: dict[str, Tensor]
    history: History


def ship(
    plan: Plan,
    weights: Sequence[Mapping[str, Tensor]],
    histories: Sequence[History],
    train: Sequence[Case],
    val: Sequence[Case],
    device: torch.device,
    objective: Objective = MASKS,
) -> Shipment:
    """Put the networks of a training's seeds together, with the post-processing that validation asks for.

    Args:
        plan: that was trained under.
        weights: state dict of each network, on the CPU, in the order of ``plan.of_each_seed()``.
        histories: of each, in the same order.
        train: the cases that they learned from.
        val: validation cases.
        device: where those are predicted.
        objective: of the training.
    """
    network = build_network(plan).eval()
    for one, trained in zip(separate(network), weights, strict=True):
        one.load_state_dict(trained)
    state = network.state_dict()
    network = channels_last(network.to(device))
    inferred = inferring(quicken(network) if device.type == "cpu" else network, plan, device)
    history = histories[0]
    if len(histories) > 1:
        figures = objective.validate(inferred, plan, val, device)
        history = _beside_each_other(histories, float(figures[:, : len(objective.names(plan))].mean()))
    return Shipment(objective.finished(inferred, plan, train, val, device), state, history)


def _beside_each_other(histories: Sequence[History], score: float) -> History:
    """One history of networks that were trained at the same time; ``score`` is that of their mean."""
    resumed = [each.resumed_from_step for each in histories if each.resumed_from_step is not None]
    points = [
        point.model_copy(update={"network": number})
        for number, history in enumerate(histories)
        for point in history.points
    ]
    return History(
        device=histories[0].device,
        seed=histories[0].seed,
        resumed_from_step=min(resumed, default=None),
        steps=sum(each.steps for each in histories),
        minutes=max(each.minutes for each in histories),
        kept_steps=tuple(step for each in histories for step in each.kept_steps),
        best_score=score,
        points=tuple(points),
    )
