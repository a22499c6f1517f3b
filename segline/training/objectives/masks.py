"""Masks: the class of each voxel, learned from label maps by Dice and cross-entropy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segline.common.arrays import inferring
from segline.data.cases.case import Case
from segline.evaluation.equivalence import shown_worse
from segline.imaging.preprocessing import IGNORED
from segline.inference.planes import part, planes_of
from segline.inference.postprocessing import keep_largest_components
from segline.inference.stitching import WindowScorer, predict_leads
from segline.plan import Plan, Plane
from segline.training.batches.patches import PatchSampler, patch_sampler
from segline.training.objectives.loss import dice_cross_entropy
from segline.training.objectives.meeting import planes_between
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
        self, network: WindowScorer, plan: Plan, cases: Sequence[Case], device: torch.device
    ) -> Plan:
        """With planes, and labels of which the largest component is kept, unless it says them itself."""
        if plan.inference.planes is None and (planes := better_parted(network, plan, cases, device)):
            plan = plan.parting(planes)
        if plan.inference.keep_largest is None:
            labels = better_in_one_piece(network, plan, cases, device)
            plan = plan.keeping_largest(labels) if labels else plan
        return plan

    def agreement(self, a: Tensor, b: Tensor) -> tuple[int, int]:
        """Voxels of the same class, of scores ``(B, K, X, Y, Z)``, and all voxels."""
        equal = a.max(dim=1).indices == b.max(dim=1).indices
        return int(equal.sum()), equal.numel()


MASKS = Masks()


def validation_dice(
    network: WindowScorer, plan: Plan, cases: Sequence[Case], device: torch.device, ranks: Ranks = ALONE
) -> Tensor:
    """Dice ``(cases, labels)`` float64 of each foreground label, on the plan's grid; 1 where both are empty.

    ``network`` gives class scores ``(B, K, x, y, z)`` of windows ``(B, C, x, y, z)`` on ``device``. The cases
    are shared out among ``ranks``.
    """
    dice = torch.zeros(len(cases), len(plan.foreground), dtype=torch.float64)
    for number in ranks.share(range(len(cases))):
        classes = _classes(network, plan, cases[number], device)
        dice[number] = _dice(classes, _truth(cases[number], device), plan)
    return ranks.add_up(dice)


def better_parted(
    network: WindowScorer, plan: Plan, cases: Sequence[Case], device: torch.device
) -> tuple[Plane, ...]:
    """The planes by which labels of the cases are parted, unless the Dice with them is shown to be worse.

    Arguments as of :func:`validation_dice`.
    """
    planes = planes_between([case.label for case in cases], plan)
    if not planes:
        return ()
    as_it_is = torch.zeros(len(cases), dtype=torch.float64)
    parted = as_it_is.clone()
    for number, case in enumerate(cases):
        leads, truth = _leads(network, plan, case, device), _truth(case, device)
        as_it_is[number] = _dice(_leaders(leads), truth, plan).mean()
        with inferring(leads):
            part(leads, planes_of(plan.parting(planes)))
        parted[number] = _dice(_leaders(leads), truth, plan).mean()
    return () if shown_worse(parted, as_it_is) else planes


def better_in_one_piece(
    network: WindowScorer, plan: Plan, cases: Sequence[Case], device: torch.device
) -> tuple[int, ...]:
    """Values of the labels of which all but the largest component had better be dropped.

    Of each it must be shown that the Dice as it is is worse. Arguments as of :func:`validation_dice`.
    """
    as_it_is = torch.zeros(len(cases), len(plan.foreground), dtype=torch.float64)
    in_one_piece = as_it_is.clone()
    for number, case in enumerate(cases):
        classes, truth = _classes(network, plan, case, device), _truth(case, device)
        as_it_is[number] = _dice(classes, truth, plan)
        pieces = classes.to(torch.uint8).cpu().numpy()
        keep_largest_components(pieces, plan.foreground)
        in_one_piece[number] = _dice(torch.from_numpy(pieces).to(device), truth, plan)
    pairs = zip(plan.label_values[1:], as_it_is.T, in_one_piece.T, strict=True)
    return tuple(value for value, before, after in pairs if shown_worse(before, after))


def _classes(network: WindowScorer, plan: Plan, case: Case, device: torch.device) -> Tensor:
    """The class ``(X, Y, Z)`` of each voxel of a case, on the plan's grid."""
    return _leaders(_leads(network, plan, case, device))


def _leads(network: WindowScorer, plan: Plan, case: Case, device: torch.device) -> Tensor:
    image = torch.from_numpy(case.image.astype("float32")).to(device)
    leads: Tensor = predict_leads(network, image, plan)
    return leads


def _leaders(leads: Tensor) -> Tensor:
    lead, leader = leads.max(dim=0)
    return torch.where(lead > 0, leader + 1, 0)


def _truth(case: Case, device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(case.label)).to(device)


def _dice(classes: Tensor, truth: Tensor, plan: Plan) -> Tensor:
    """Dice ``(labels,)`` float64; 1 where both are empty."""
    if plan.ignore is not None:
        classes = torch.where(truth == IGNORED, 0, classes)
    dice = torch.ones(len(plan.foreground), dtype=torch.float64)
    for index in plan.foreground:
        mask, wanted = classes == index, truth == index
        if size := int(mask.sum()) + int(wanted.sum()):
            dice[index - 1] = 2 * int((mask & wanted).sum()) / size
    return dice
