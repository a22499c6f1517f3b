"""The Dice of validation cases, on the plan's grid."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from segline.data.cases.case import Case
from segline.imaging.preprocessing import IGNORED
from segline.inference.stitching import WindowScorer, predict_leads
from segline.plan import Plan
from segline.training.ranks import ALONE, Ranks


def validation_dice(
    network: WindowScorer, plan: Plan, cases: Sequence[Case], device: torch.device, ranks: Ranks = ALONE
) -> Tensor:
    """Dice ``(cases, labels)`` float64 of each foreground label, on the plan's grid; 1 where both are empty.

    ``network`` gives class scores ``(B, K, x, y, z)`` of windows ``(B, C, x, y, z)`` on ``device``. The cases
    are shared out among ``ranks``.
    """
    dice = torch.zeros(len(cases), len(plan.foreground), dtype=torch.float64)
    for number in ranks.share(range(len(cases))):
        classes = classes_of(network, plan, cases[number], device)
        dice[number] = dice_of(classes, truth_of(cases[number], device), plan)
    return ranks.add_up(dice)


def classes_of(network: WindowScorer, plan: Plan, case: Case, device: torch.device) -> Tensor:
    """The class ``(X, Y, Z)`` of each voxel of a case, on the plan's grid."""
    return leaders(leads_of(network, plan, case, device))


def leads_of(network: WindowScorer, plan: Plan, case: Case, device: torch.device) -> Tensor:
    """By how much each foreground class leads the background, ``(K - 1, X, Y, Z)``, before softmax."""
    image = torch.from_numpy(case.image.astype("float32")).to(device)
    leads: Tensor = predict_leads(network, image, plan)
    return leads


def leaders(leads: Tensor) -> Tensor:
    """The class of each voxel, of what :func:`leads_of` gives."""
    lead, leader = leads.max(dim=0)
    return torch.where(lead > 0, leader + 1, 0)


def truth_of(case: Case, device: torch.device) -> Tensor:
    """The label map of a case, on ``device``."""
    return torch.from_numpy(np.array(case.label)).to(device)


def dice_of(classes: Tensor, truth: Tensor, plan: Plan) -> Tensor:
    """Dice ``(labels,)`` float64; 1 where both are empty."""
    if plan.ignore is not None:
        classes = torch.where(truth == IGNORED, 0, classes)
    dice = torch.ones(len(plan.foreground), dtype=torch.float64)
    for index in plan.foreground:
        mask, wanted = classes == index, truth == index
        if size := int(mask.sum()) + int(wanted.sum()):
            dice[index - 1] = 2 * int((mask & wanted).sum()) / size
    return dice
