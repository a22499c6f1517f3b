"""The Dice of validation cases."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from segline.data.cases.index import CaseIndex
from segline.imaging.preprocessing import IGNORED
from segline.plan import Plan
from segline.training.objectives.dice import validation_dice

from .pictures import pictures, reads

CPU = torch.device("cpu")


def test_the_dice_is_that_of_each_case_and_label(tiny_plan: Plan, tiny_index: CaseIndex) -> None:
    cases = tiny_index.open(["phantom_000", "phantom_001"])

    def everything_is_spleen(windows: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(windows[:, 0]), torch.ones_like(windows[:, 0])], dim=1)

    found = validation_dice(everything_is_spleen, tiny_plan, cases, CPU)
    sizes = [(int((case.label == 1).sum()), case.label.size) for case in cases]
    assert found.tolist() == [[pytest.approx(2 * n / (n + size))] for n, size in sizes]


def test_voxels_of_which_nothing_is_known_do_not_count(tiny_plan: Plan, tiny_index: CaseIndex) -> None:
    (case,) = pictures(tiny_index.open(["phantom_000"])[0], [2])
    unknown = np.where((case.label == 0) & (case.image[0] > 0), IGNORED, case.label).astype(np.uint8)
    plan = tiny_plan.model_copy(update={"ignore": 200})
    assert float(validation_dice(reads, tiny_plan, [case], CPU)) < 1
    assert float(validation_dice(reads, plan, [replace(case, label=unknown)], CPU)) == 1
