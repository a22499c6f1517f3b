"""Masks: the class of each voxel, learned from label maps by Dice and cross-entropy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segline.data.cases.case import Case
from segline.imaging.preprocessing import IGNORED
from segline.inference.stitching import WindowScorer
from segline.plan import Plan
from segline.training.batches.patches import PatchSampler, patch_sampler
from segline.training.objectives.dice import validation_dice
from segline.training.objectives.finishing import better_in_one_piece, better_parted
from segline.training.objectives.loss import dice_cross_entropy
from segline.training.objectives.objective import unchanged
from segline.training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Masks:
    """The objective of segmentation; see :class:`~segline.training.objectives.objective.Objective`."""

    figure = "dice"

    def names(self, plan: Plan) -> Sequence[str]:
        """The foreground labels."""
        return list(plan.foreground.values())

    def details(self, plan: Plan) -> Sequence[str]:  # noqa: ARG002
        """None: the Dice of each label chooses."""
        return ()

    def sampler(
        self, plan: Plan, cases: Sequence[Case], batch_size: int | None = None, part: tuple[int, int] = (0, 1)
    ) -> PatchSampler:
        """Patches, more of them around a label than anywhere."""
        return patch_sampler(plan, cases, batch_size, part)

    def loss(
        self, plan: Plan, scores: Tensor, target: Tensor, add_up: Callable[[Tensor], Tensor] = unchanged
    ) -> Tensor:
        """Soft Dice and cross-entropy, of the voxels of which something is known."""
        if plan.ignore is None:
            return dice_cross_entropy(scores, target, add_up)
        return dice_cross_entropy(scores, target, add_up, known=target != IGNORED)

    def validate(
        self,
        network: WindowScorer,
        plan: Plan,
        cases: Sequence[Case],
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        """Dice ``(cases, labels)``, on the plan's grid."""
        return validation_dice(network, plan, cases, device, ranks)

    def finished(
        self,
        network: WindowScorer,
        plan: Plan,
        train: Sequence[Case],
        val: Sequence[Case],
        device: torch.device,
    ) -> Plan:
        """With planes, and labels of which the largest component is kept, unless it says them itself."""
        if plan.inference.planes is None and (planes := better_parted(network, plan, train, val, device)):
            plan = plan.parting(planes)
        if plan.inference.keep_largest is None:
            labels = better_in_one_piece(network, plan, val, device)
            plan = plan.keeping_largest(labels) if labels else plan
        return plan

    def agreement(self, a: Tensor, b: Tensor) -> tuple[int, int]:
        """Voxels of the same class, of scores ``(B, K, X, Y, Z)``, and all voxels."""
        equal = a.max(dim=1).indices == b.max(dim=1).indices
        return int(equal.sum()), equal.numel()


MASKS = Masks()
