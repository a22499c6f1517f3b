"""Whole images: every one once an epoch, or by its class."""

from collections import Counter

import numpy as np
import pytest
import torch

from segline.common.errors import SeglineError
from segline.data.cases.case import Case
from segline.imaging.placement import Placement
from segline.inference.wholes import middle
from segline.plan import Plan
from segline.plan.preprocessing.normalisation import OUTSIDE
from segline.training.batches.augmentation import Augmenter
from segline.training.batches.wholes import WholeSampler

from ...conftest import small_plan

EYE = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def case_of(number: int, label: int, shape: tuple[int, int, int] = (10, 12, 1)) -> Case:
    """An image of one value, which says which it is."""
    placement = Placement(
        native_shape=shape,
        native_affine=EYE,
        axes=(0, 1, 2),
        flips=(False, False, False),
        crop_start=(0, 0, 0),
        crop_stop=shape,
        shape=shape,
        steps=(1.0, 1.0, 1.0),
    )
    return Case(
        f"case_{number}", np.full((1, *shape), number + 1, np.float16), np.array(label), (), placement
    )


CASES = [case_of(number, label=int(number == 0)) for number in range(7)]


def plan_of(**sampler: object) -> Plan:
    parts = {"patch_size": [32, 32, 1], "sampler": sampler or {"name": "uniform"}}
    windows = {"smallest_window": [32, 32, 1], "largest_window": [32, 32, 1], "overlap": [0, 0, 0]}
    network = {"name": "resnet18", "spatial_dims": 2}
    values = small_plan().model_dump()
    values |= {"network": network, "inference": windows, "training": {**values["training"], **parts}}
    return Plan.parse(values, "plan")


def numbers(images: torch.Tensor) -> list[int]:
    return [int(number) - 1 for number in images.amax(dim=(1, 2, 3, 4))]


def test_every_image_is_seen_once_an_epoch() -> None:
    sampler = WholeSampler(plan_of(), CASES, batch_size=7)
    for step in range(3):
        images, classes = sampler.batch(step)
        assert images.shape == (7, 1, 32, 32, 1) and classes.dtype == torch.int64
        assert sorted(numbers(images)) == list(range(7)) == sorted(sampler.cases_of(step))
        assert classes.tolist() == [int(number == 0) for number in numbers(images)]


def test_it_is_whole_and_somewhere_in_the_patch() -> None:
    sampler = WholeSampler(plan_of(), CASES, batch_size=2)
    places = set()
    for step in range(8):
        for image in sampler.batch(step)[0]:
            inside = torch.nonzero(image[0, ..., 0] > OUTSIDE)
            assert len(inside) == 120
            places.add(tuple(inside[0].tolist()))
    assert len(places) > 8


def test_of_a_rare_class_as_many_are_drawn_by_the_label_sampler() -> None:
    sampler = WholeSampler(plan_of(name="label", ratio=1000), CASES, batch_size=50)
    drawn = Counter(int(label) for step in range(10) for label in sampler.batch(step)[1])
    assert 200 < drawn[1] < 300


def test_classes_come_as_often_as_their_weights_say() -> None:
    sampler = WholeSampler(plan_of(name="weighted", weights={0: 1, 1: 4}), CASES, batch_size=50)
    drawn = Counter(int(label) for step in range(10) for label in sampler.batch(step)[1])
    assert 350 < drawn[1] < 450


def test_weights_of_no_class_that_is_there_are_refused_in_one_line() -> None:
    sampler = WholeSampler(plan_of(name="weighted", weights={1: 1}), CASES[1:], batch_size=2)
    with pytest.raises(SeglineError, match=r"training\.sampler\.weights: no .* has weight; there are 0$"):
        sampler.batch(0)


def test_what_is_of_patches_is_refused_where_images_are_seen_whole() -> None:
    with pytest.raises(SeglineError, match=r"training\.sampler labelled: is of patches, .* resnet18"):
        plan_of(name="labelled")


def test_a_batch_can_be_cut_in_parts() -> None:
    whole, target = WholeSampler(plan_of(), CASES, batch_size=4).batch(3)
    halves = [WholeSampler(plan_of(), CASES, batch_size=4, part=(part, 2)) for part in range(2)]
    torch.testing.assert_close(torch.cat([half.batch(3)[0] for half in halves]), whole)
    assert [label for half in halves for label in half.batch(3)[1].tolist()] == target.tolist()
    assert halves[1].first == 2


@pytest.mark.parametrize(("size", "edge"), [(5, 8), (8, 5), (5, 2), (4, 3), (6, 6)])
def test_the_middle_is_where_monai_takes_it(size: int, edge: int) -> None:
    from monai.transforms import ResizeWithPadOrCrop

    image = torch.arange(1.0, size**2 + 1).reshape(1, size, size, 1)
    theirs = ResizeWithPadOrCrop((edge, edge, 1), value=OUTSIDE)(image)
    torch.testing.assert_close(middle(image, (edge, edge, 1)), theirs.as_tensor())


def test_a_slice_turns_in_its_plane_alone() -> None:
    plan = plan_of()
    settings = plan.training.augmentation.model_copy(
        update={"affine": 1.0, "noise": 0.0, "blur": 0.0, "intensity": 0.0, "gamma": 0.0, "scale": 0.0}
    )
    x, y = np.indices((32, 32)) - 15.5
    disc = torch.from_numpy(np.hypot(x, y) < 10).float()[None, None, ..., None]
    turned, _ = Augmenter(settings, 0)(disc.repeat(8, 1, 1, 1, 1), torch.zeros(8), step=0)
    areas = turned.sum(dim=(1, 2, 3, 4)) / disc.sum()
    assert areas.min() > 0.97, "about another axis a disc would become an ellipse"
