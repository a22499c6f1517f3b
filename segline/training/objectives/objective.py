"""What the trainer is handed in place of knowing what is learned."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from segline.data.cases.case import Case
from segline.inference.stitching import WindowScorer
from segline.plan import Plan
from segline.training.batches.patches import Sampler
from segline.training.ranks import ALONE, Ranks


def unchanged(sums: Tensor) -> Tensor:
    """Sums over a part of a batch that is the whole."""
    return sums


class Objective(Protocol):
    """What a network learns of its cases, and how well; goes to other processes, so it must pickle."""

    @property
    def figure(self) -> str:
        """Name of what validation measures: a share, of which more is better."""

    def names(self, plan: Plan) -> Sequence[str]:
        """Of what, such as the labels: the first columns of :meth:`validate`, by which weights are chosen."""

    def details(self, plan: Plan) -> Sequence[str]:
        """What its further columns are, as ``figure/of what``: they are shown, and nothing is chosen by them.

        NaN is what a case says nothing of.
        """

    def sampler(
        self, plan: Plan, cases: Sequence[Case], batch_size: int | None = None, part: tuple[int, int] = (0, 1)
    ) -> Sampler:
        """What the steps are given, for the plan's batch unless another is given; ``part`` of how many."""

    def loss(
        self, plan: Plan, scores: Tensor, target: Tensor, add_up: Callable[[Tensor], Tensor] = unchanged
    ) -> Tensor:
        """A scalar, from float32 scores and the sampler's targets; sums over a batch pass ``add_up``."""

    def validate(
        self,
        network: WindowScorer,
        plan: Plan,
        cases: Sequence[Case],
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        """The figures ``(cases, names and details)`` float64 of each case; ``ranks`` share them out."""

    def finished(
        self,
        network: WindowScorer,
        plan: Plan,
        train: Sequence[Case],
        val: Sequence[Case],
        device: torch.device,
    ) -> Plan:
        """The plan, with what the cases say is to be made of the network's answers."""

    def agreement(self, a: Tensor, b: Tensor) -> tuple[int, int]:
        """Of two networks' scores of the same windows: parts of the answer that are equal, and all."""
