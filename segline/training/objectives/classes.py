"""Classes: one a case, learned by cross-entropy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from segline.data.cases.case import Case
from segline.inference.stitching import WindowScorer
from segline.inference.wholes import probabilities
from segline.plan import Plan
from segline.training.batches.wholes import WholeSampler
from segline.training.objectives.objective import unchanged
from segline.training.ranks import ALONE, Ranks

_AT_ONCE = 64
"""Validation images that wait in memory together, at most; of volumes fewer fill a batch."""


@dataclass(frozen=True)
class Classes:
    """The objective of classification; see :class:`~segline.training.objectives.objective.Objective`."""

    figure = "accuracy"

    def names(self, plan: Plan) -> Sequence[str]:  # noqa: ARG002
        """One for all: a case has no more than one class to be right about."""
        return ["every class"]

    def details(self, plan: Plan) -> Sequence[str]:
        """The recall of each class."""
        return [f"recall/{plan.labels[value]}" for value in plan.label_values]

    def sampler(
        self, plan: Plan, cases: Sequence[Case], batch_size: int | None = None, part: tuple[int, int] = (0, 1)
    ) -> WholeSampler:
        """Whole images."""
        return WholeSampler(plan, cases, batch_size or plan.training.batch_size, part)

    def loss(
        self,
        plan: Plan,  # noqa: ARG002
        scores: Tensor,
        target: Tensor,
        add_up: Callable[[Tensor], Tensor] = unchanged,
    ) -> Tensor:
        """Mean cross-entropy of scores ``(B, K)`` and classes ``(B,)``."""
        summed = functional.cross_entropy(scores, target.long(), reduction="sum")
        summed, count = add_up(torch.stack([summed, summed.new_tensor(float(len(target)))]))
        return summed / count

    def validate(
        self,
        network: WindowScorer,
        plan: Plan,
        cases: Sequence[Case],
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        """Whether each is right, 1 or 0, ``(cases, 1 + classes)``: of every class, and of its own alone."""
        right = torch.zeros(len(cases), 1 + len(plan.labels), dtype=torch.float64)
        mine, size = list(ranks.share(range(len(cases)))), min(_AT_ONCE, plan.training.batch_size)
        for first in range(0, len(mine), size):
            numbers = mine[first : first + size]
            some = [cases[number] for number in numbers]
            images = [torch.from_numpy(case.image.astype("float32")).to(device) for case in some]
            guessed = torch.from_numpy(probabilities(network, images, plan)).argmax(1)
            truth = torch.tensor([int(case.label) for case in some])
            right[numbers, 0] = (guessed == truth).double()
            right[numbers, 1:] = torch.nan
            right[numbers, 1 + truth] = right[numbers, 0]
        return ranks.add_up(right)

    def finished(
        self,
        network: WindowScorer,  # noqa: ARG002
        plan: Plan,
        train: Sequence[Case],  # noqa: ARG002
        val: Sequence[Case],  # noqa: ARG002
        device: torch.device,  # noqa: ARG002
    ) -> Plan:
        """As it is: there is nothing to be made of a class afterwards."""
        return plan

    def agreement(self, a: Tensor, b: Tensor) -> tuple[int, int]:
        """Images of the same class, of scores ``(B, K)``, and all images."""
        return int((a.argmax(1) == b.argmax(1)).sum()), len(a)


CLASSES = Classes()
