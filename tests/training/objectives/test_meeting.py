"""Whether labels meet in a plane."""

from collections.abc import Callable

import numpy as np
import pytest

from segline.imaging.preprocessing import IGNORED
from segline.plan import Plan, Plane
from segline.training.objectives.meeting import planes_between

from ...conftest import small_plan

HIPPOCAMPUS = Plane(axis="y", lower=2, upper=1)


def plan() -> Plan:
    return small_plan(labels=3)


def parted(at: int = 7) -> np.ndarray:
    """A tail of class 2, and from a slice along y on a head of class 1."""
    label = np.zeros((12, 16, 10), np.uint8)
    label[2:10, 2:at, 2:8] = 2
    label[1:9, at:14, 3:8] = 1
    return label


def ragged(at: int = 7) -> np.ndarray:
    label = parted(at)
    label[2:10:2, at - 1, 3:8] = 1
    return label


def touching_at_a_corner() -> np.ndarray:
    label = np.zeros((12, 16, 10), np.uint8)
    label[2:8, 2:7, 2:8] = 2
    label[7:12, 7:14, 7:10] = 1
    return label


def apart() -> np.ndarray:
    label = np.zeros((12, 16, 10), np.uint8)
    label[2:8, 2:6, 2:8] = 2
    label[2:8, 8:14, 2:8] = 1
    return label


def test_labels_that_a_plane_parts_are_found_wherever_it_lies() -> None:
    assert planes_between([parted(5), parted(7), parted(9)], plan()) == (HIPPOCAMPUS,)


def test_a_third_of_the_cases_may_be_ragged() -> None:
    assert planes_between([parted(5), parted(7), ragged(9)], plan()) == (HIPPOCAMPUS,)
    assert planes_between([parted(5), ragged(7), ragged(9)], plan()) == ()


@pytest.mark.parametrize("other", [apart, lambda: np.zeros((4, 4, 4), np.uint8)])
def test_cases_in_which_they_do_not_touch_say_nothing(other: Callable[[], np.ndarray]) -> None:
    assert planes_between([parted(5), parted(7), parted(9), other(), other()], plan()) == (HIPPOCAMPUS,)
    assert planes_between([parted(5), parted(7), other(), other()], plan()) == ()


def test_a_corner_that_touches_is_no_plane() -> None:
    assert planes_between([touching_at_a_corner()] * 3, plan()) == ()


def test_the_other_way_round_is_another_plane() -> None:
    turned = [parted(at)[:, ::-1] for at in (5, 7, 9)]
    assert planes_between(turned, plan()) == (Plane(axis="y", lower=1, upper=2),)
    assert planes_between([parted(5), parted(7), *turned], plan()) == ()


def test_voxels_of_which_nothing_is_known_are_no_label() -> None:
    label = np.where(parted(7) == 1, IGNORED, parted(7)).astype(np.uint8)
    assert planes_between([label] * 3, plan()) == ()


def test_labels_are_named_by_their_values() -> None:
    values = plan().model_dump()
    named = Plan.parse({**values, "labels": {0: "background", 3: "head", 8: "tail"}}, "plan")
    assert planes_between([parted(5)] * 3, named) == (Plane(axis="y", lower=8, upper=3),)
