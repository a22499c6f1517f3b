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

CPU = torch.device("cpu")


def reads(windows: Tensor) -> Tensor:
    return torch.cat([torch.full_like(windows, 0.5), windows], dim=1)


def test_the_dice_is_that_of_each_case_and_label(tiny_plan: Plan, tiny_index: CaseIndex) -> None:
    cases = tiny_index.open(["phantom_000", "phantom_001"])

    def everything_is_spleen(windows: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(windows[:, 0]), torch.ones_like(windows[:, 0])], dim=1)

    found = validation_dice(everything_is_spleen, tiny_plan, cases, CPU)
    sizes = [(int((case.label == 1).sum()), case.label.size) for case in cases]
    assert found.tolist() == [[pytest.approx(2 * n / (n + size))] for n, size in sizes]


def test_voxels_of_which_nothing_is_known_do_not_count(tiny_plan: Plan, tiny_index: CaseIndex) -> None:
    label = np.zeros((32, 32, 32), np.uint8)
    label[4:14, 4:14, 4:14] = 1
    seen = label.copy()
    seen[20:24:2, 28, 28] = 1
    case = replace(tiny_index.open(["phantom_000"])[0], image=seen[None].astype(np.float16), label=label)
    unknown = np.where((label == 0) & (seen > 0), IGNORED, label).astype(np.uint8)
    plan = tiny_plan.model_copy(update={"ignore": 200})
    assert float(validation_dice(reads, tiny_plan, [case], CPU)) < 1
    assert float(validation_dice(reads, plan, [replace(case, label=unknown)], CPU)) == 1
