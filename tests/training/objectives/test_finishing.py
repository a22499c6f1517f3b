"""What the cases of a training say of its network's masks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from segline.data.cases.case import Case
from segline.data.cases.index import CaseIndex
from segline.plan import Plan, Plane
from segline.training.objectives.dice import validation_dice
from segline.training.objectives.finishing import better_in_one_piece, better_parted
from segline.training.objectives.masks import MASKS

from .pictures import pictures, reads

CPU = torch.device("cpu")
HEAD_AND_TAIL = Plane(axis="y", lower=2, upper=1)


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


TWO_LABELS = {"labels": {0: "background", 1: "head", 2: "tail"}}
PLACES = (12, 14, 17, 19)


def reads_two(windows: Tensor) -> Tensor:
    scores = [torch.full_like(windows, 2), *((windows == value).float() * 4 for value in (1, 2))]
    return torch.cat(scores, dim=1)


def halves(case: Case, places: Sequence[int], island: bool = False, off: int = 0) -> list[Case]:
    """Cases of which a network that reads the image sees the plane ``off`` slices, and one slice ragged."""
    made = []
    for at in places:
        label = np.zeros((32, 32, 32), np.uint8)
        label[4:20, 6:at, 4:20], label[4:20, at:26, 4:20] = 2, 1
        if island:  # of one label beside the other, which it does not touch
            label[24:30, 6:12, 24:30] = 1
        seen = label.copy()
        seen[4:20, at : at + off, 4:20] = 2
        seen[4:20:4, at + off, 4:20] = 2
        made.append(replace(case, image=seen[None].astype(np.float16), label=label))
    return made


@pytest.mark.parametrize(("island", "found"), [(False, (HEAD_AND_TAIL,)), (True, ())])
def test_labels_that_a_plane_parts_are_parted_unless_it_takes_from_the_dice(
    island: bool, found: tuple[Plane, ...], tiny_plan: Plan, case: Case
) -> None:
    plan = Plan.parse({**tiny_plan.model_dump(), **TWO_LABELS}, "plan")
    cases = halves(case, PLACES, island)
    assert better_parted(reads_two, plan, (), cases, CPU) == found
    parted = MASKS.finished(reads_two, plan, (), cases, CPU)
    assert parted.inference.planes == (found or None)
    assert (float(validation_dice(reads_two, parted, cases, CPU).min()) == 1) is bool(found)
    kept = plan.parting(())
    assert MASKS.finished(reads_two, kept, (), cases, CPU).inference.planes == ()


def test_what_a_centre_line_tells_counts_as_it_is_right_where_the_network_is_wrong(
    tiny_plan: Plan, case: Case
) -> None:
    """All planes lie in one place of the shape here: the line knows it, from cases that train."""
    plan = Plan.parse({**tiny_plan.model_dump(), **TWO_LABELS}, "plan")
    train, wrong = halves(case, [16] * 9), halves(case, [16] * 3, off=2)
    (plane,) = better_parted(reads_two, plan, train, wrong, CPU)
    assert plane.centre_line and plane.centre_line.share == 1
    parted = MASKS.finished(reads_two, plan, train, wrong, CPU)
    assert float(validation_dice(reads_two, plan.parting([HEAD_AND_TAIL]), wrong, CPU).max()) < 0.95
    assert float(validation_dice(reads_two, parted, wrong, CPU).min()) == 1


@pytest.mark.parametrize(("training", "off"), [(9, 0), (6, 2)], ids=["the network is right", "few cases"])
def test_a_centre_line_tells_nothing_where_it_need_not_or_cannot_be_learned(
    training: int, off: int, tiny_plan: Plan, case: Case
) -> None:
    plan = Plan.parse({**tiny_plan.model_dump(), **TWO_LABELS}, "plan")
    train, val = halves(case, [16] * training), halves(case, [16] * 3, off=off)
    assert better_parted(reads_two, plan, train, val, CPU) == (HEAD_AND_TAIL,)


def ragged(case: Case) -> Case:
    """With a step of two slices where the two labels meet."""
    label = case.label.copy()
    label[4:12, 14:16, 4:20] = 1
    return replace(case, label=label)


@pytest.mark.parametrize(("training", "found"), [(4, (HEAD_AND_TAIL,)), (3, ())])
def test_whether_raters_part_labels_is_for_the_label_maps_of_all_cases_to_say(
    training: int, found: tuple[Plane, ...], tiny_plan: Plan, case: Case
) -> None:
    plan = Plan.parse({**tiny_plan.model_dump(), **TWO_LABELS}, "plan")
    val = [ragged(one) for one in halves(case, [16] * 2)]
    assert better_parted(reads_two, plan, halves(case, [16] * training), val, CPU) == found


def test_labels_are_named_by_their_values(tiny_plan: Plan, case: Case) -> None:
    plan = Plan.parse({**tiny_plan.model_dump(), "labels": {0: "background", 7: "spleen"}}, "plan")
    assert better_in_one_piece(reads, plan, pictures(case, [3, 2, 4]), CPU) == (7,)
