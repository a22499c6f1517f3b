"""What the validation cases say."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from segline.data.cases.case import Case
from segline.data.cases.index import CaseIndex
from segline.evaluation.equivalence import shown_worse
from segline.imaging.preprocessing import IGNORED
from segline.plan import Plan, Plane
from segline.training.objectives.masks import MASKS, better_in_one_piece, better_parted, validation_dice

CPU = torch.device("cpu")
HEAD_AND_TAIL = Plane(axis="y", lower=2, upper=1)


def test_the_dice_is_that_of_each_case_and_label(tiny_plan: Plan, tiny_index: CaseIndex) -> None:
    cases = tiny_index.open(["phantom_000", "phantom_001"])

    def everything_is_spleen(windows: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(windows[:, 0]), torch.ones_like(windows[:, 0])], dim=1)

    found = validation_dice(everything_is_spleen, tiny_plan, cases, CPU)
    sizes = [(int((case.label == 1).sum()), case.label.size) for case in cases]
    assert found.tolist() == [[pytest.approx(2 * n / (n + size))] for n, size in sizes]


@pytest.mark.parametrize(
    ("dice", "before", "worse"),
    [
        ([0.80, 0.80, 0.80], [0.90, 0.90, 0.91], True),
        ([0.90, 0.90, 0.90], [0.80, 0.80, 0.81], False),
        ([0.70, 0.95, 0.90], [0.90, 0.90, 0.80], False),  # the mean is lower, and as often as not it is not
        ([0.90, 0.90], [0.90, 0.90], False),
        ([0.8], [0.9], True),
    ],
)
def test_worse_is_what_is_lower_by_more_than_chance(
    dice: list[float], before: list[float], worse: bool
) -> None:
    assert shown_worse(torch.tensor(dice), torch.tensor(before)) is worse


def pictures(case: Case, specks: Sequence[int]) -> list[Case]:
    """Cases whose label is a block and whose image says where a network that reads it finds one: there, and
    in as many specks far away."""
    made = []
    for count in specks:
        label = np.zeros((32, 32, 32), np.uint8)
        label[4:14, 4:14, 4:14] = 1
        seen = label.copy()
        seen[20 : 20 + 2 * count : 2, 28, 28] = 1
        made.append(replace(case, image=seen[None].astype(np.float16), label=label))
    return made


def reads(windows: Tensor) -> Tensor:
    return torch.cat([torch.full_like(windows, 0.5), windows], dim=1)


@pytest.fixture()
def case(tiny_index: CaseIndex) -> Case:
    return tiny_index.open(["phantom_000"])[0]


def test_specks_in_most_cases_are_better_dropped(tiny_plan: Plan, case: Case) -> None:
    assert better_in_one_piece(reads, tiny_plan, pictures(case, [3, 2, 4]), CPU) == (1,)


@pytest.mark.parametrize("specks", [[0, 0, 0], [0, 0, 5]])
def test_specks_in_one_case_of_many_show_nothing(tiny_plan: Plan, case: Case, specks: list[int]) -> None:
    assert better_in_one_piece(reads, tiny_plan, pictures(case, specks), CPU) == ()


def test_an_organ_in_two_pieces_keeps_both(tiny_plan: Plan, case: Case) -> None:
    two = [replace(one, label=np.array(one.image[0], np.uint8)) for one in pictures(case, [3, 2, 4])]
    assert better_in_one_piece(reads, tiny_plan, two, CPU) == ()


@pytest.mark.parametrize(("with_island", "found"), [(False, (HEAD_AND_TAIL,)), (True, ())])
def test_labels_that_a_plane_parts_are_parted_unless_it_takes_from_the_dice(
    with_island: bool, found: tuple[Plane, ...], tiny_plan: Plan, case: Case
) -> None:
    plan = Plan.parse({**tiny_plan.model_dump(), "labels": {0: "background", 1: "head", 2: "tail"}}, "plan")
    cases = []
    for at in (12, 14, 17, 19):
        label = np.zeros((32, 32, 32), np.uint8)
        label[4:20, 6:at, 4:20], label[4:20, at:26, 4:20] = 2, 1
        if with_island:  # of one label beside the other, which it does not touch
            label[24:30, 6:12, 24:30] = 1
        seen = label.copy()
        seen[4:20:4, at, 4:20] = 2
        cases.append(replace(case, image=seen[None].astype(np.float16), label=label))

    def reads_two(windows: Tensor) -> Tensor:
        scores = [torch.full_like(windows, 2), *((windows == value).float() * 4 for value in (1, 2))]
        return torch.cat(scores, dim=1)

    assert better_parted(reads_two, plan, cases, CPU) == found
    parted = MASKS.finished(reads_two, plan, cases, CPU)
    assert parted.inference.planes == (found or None)
    assert (float(validation_dice(reads_two, parted, cases, CPU).min()) == 1) is bool(found)
    kept = plan.parting(())
    assert MASKS.finished(reads_two, kept, cases, CPU).inference.planes == ()


def test_labels_are_named_by_their_values(tiny_plan: Plan, case: Case) -> None:
    plan = Plan.parse({**tiny_plan.model_dump(), "labels": {0: "background", 7: "spleen"}}, "plan")
    assert better_in_one_piece(reads, plan, pictures(case, [3, 2, 4]), CPU) == (7,)


def test_voxels_of_which_nothing_is_known_do_not_count(tiny_plan: Plan, tiny_index: CaseIndex) -> None:
    (case,) = pictures(tiny_index.open(["phantom_000"])[0], [2])
    unknown = np.where((case.label == 0) & (case.image[0] > 0), IGNORED, case.label).astype(np.uint8)
    plan = tiny_plan.model_copy(update={"ignore": 200})
    assert float(validation_dice(reads, tiny_plan, [case], CPU)) < 1
    assert float(validation_dice(reads, plan, [replace(case, label=unknown)], CPU)) == 1
