"""Labels that a plane parts."""

import numpy as np
import pytest
import torch

from segline.common.arrays import Array
from segline.imaging.volume import Volume
from segline.inference.planes import centre_line, part, place_of, planes_of
from segline.inference.predictor import Predictor
from segline.inference.stitching import predict_leads
from segline.plan import CentreLine, Plan, Plane
from segline.plan.inference.planes import MEASURES, POINTS

from ..conftest import small_plan


def two_labels(noise: float, at: int = 7) -> np.ndarray:
    """Leads of a block whose second label begins at a slice along y, as far as the noise lets it be seen."""
    rng = np.random.default_rng(0)
    leads = np.full((3, 12, 16, 10), -4, np.float32)
    leads[0, 2:10, 2:at, 2:8] = 3
    leads[1, 2:10, at:14, 2:8] = 3
    return leads + rng.normal(0, noise, leads.shape).astype(np.float32)


def classes(leads: Array) -> np.ndarray:
    found = np.asarray(leads)
    return np.where(found.max(0) > 0, found.argmax(0) + 1, 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_each_side_has_one_label_whatever_single_voxels_say(library: type, axis: int) -> None:
    leads = np.moveaxis(two_labels(noise=4), 2, axis + 1).copy()
    before = classes(leads)
    given = library(leads)
    part(given, [(axis, 0, 1, None)])
    found = np.moveaxis(classes(given), axis, 1)
    assert not (found[:, :7] == 2).any() and not (found[:, 7:] == 1).any()
    was = np.moveaxis(before, axis, 1)
    assert (was[:, :7] == 2).any() and (was[:, 7:] == 1).any(), "nothing to part"
    assert ((found == 3) == (was == 3)).mean() > 0.99


def test_what_is_neither_is_left_alone() -> None:
    leads = two_labels(noise=0)
    leads[2, 4:6, 4:12, 4:6] = 9
    part(leads, [(1, 0, 1, None)])
    assert (classes(leads)[4:6, 4:12, 4:6] == 3).all()


def test_a_volume_with_one_of_the_labels_keeps_it_whole() -> None:
    for wanted in (1, 2):
        leads = two_labels(noise=0, at=14 if wanted == 1 else 2)
        before = classes(leads)
        part(leads, [(1, 0, 1, None)])
        assert np.array_equal(classes(leads), before) and (before == wanted).any()


def test_a_volume_with_neither_has_neither() -> None:
    leads = np.full((2, 4, 4, 4), -3, np.float32)
    part(leads, [(2, 1, 0, None)])
    assert not classes(leads).any()


def test_either_label_is_as_probable_as_both_were() -> None:
    leads = two_labels(noise=1)
    odds = np.exp(leads[:2].astype(np.float64)).sum(0)
    part(leads, [(1, 0, 1, None)])
    np.testing.assert_allclose(np.exp(leads[:2].max(0)), odds, rtol=1e-5)


def plan() -> Plan:
    values = small_plan(labels=3).model_dump()
    return Plan.parse({**values, "labels": {0: "background", 4: "tail", 9: "head"}}, "plan")


def test_a_plan_names_labels_by_their_values() -> None:
    parted = plan().parting([Plane(axis="z", lower=9, upper=4)])
    assert planes_of(parted) == [(2, 1, 0, None)]
    assert planes_of(plan()) == []
    assert parted.postprocessing == "a plane across z parts head from tail"


def test_a_file_that_lies_another_way_is_parted_where_its_patient_is() -> None:
    """Beyond y in the patient is below the second axis of a file that goes the other way."""
    parted = plan().parting([Plane(axis="y", lower=4, upper=9)])

    def network(windows: np.ndarray) -> np.ndarray:
        scores = np.concatenate([0.5 - windows, windows - 0.5, windows - 0.5], axis=1)
        rng = np.random.default_rng(1)
        ramp = np.linspace(-2, 2, windows.shape[3], dtype=np.float32)[None, None, :, None]
        scores[:, 2] += ramp + rng.normal(0, 1, scores[:, 2].shape).astype(np.float32)
        return scores

    image = np.zeros((1, 16, 16, 16), np.float32)
    image[:, 2:14, 2:14, 2:14] = 1
    mask = Predictor(parted, network)(Volume(image, np.diag([1.0, -1, 1, 1]))).array[0]
    tails, heads = (np.flatnonzero((mask == value).any((0, 2))) for value in (4, 9))
    assert heads.max() < tails.min()
    whole = predict_leads(network, image, plan())
    assert (whole[1] > whole[0]).any((0, 2)).sum() > 8, "nothing to part"


def place(leads: np.ndarray, line: tuple[float, float, list[float]]) -> int:
    return place_of(leads, np.logaddexp(leads[0], leads[1]), 1, 0, 1, line)


def told(share: float, start: float) -> tuple[float, float, list[float]]:
    """A centre line that tells the same distance from the centre of any body."""
    return share, start, [0.0] * MEASURES


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_a_centre_line_goes_through_the_middle_of_each_slice(library: type, axis: int) -> None:
    there = np.zeros((14, 40, 12), bool)
    there[2:6, 4:20, 3:9] = True
    there[5:11, 20:36, 2:6] = True  # as many voxels in each slice
    centre, measures = centre_line(library(np.moveaxis(there, 1, axis).copy()), axis)
    size, along, one, other = measures[0], *measures[1:].reshape(3, POINTS)
    assert centre == 20 and size == pytest.approx((16 * 24 * 2) ** (1 / 3))
    np.testing.assert_allclose(along, (np.arange(POINTS) + 0.5) * 2 - 16)
    np.testing.assert_allclose(one, np.repeat([3.5, 7.5], POINTS // 2) - 5.5)
    np.testing.assert_allclose(other, np.repeat([5.5, 3.5], POINTS // 2) - 4.5)


@pytest.mark.parametrize(("share", "at"), [(0, 7), (0.2, 8), (0.5, 9), (1, 11), (0.01, 7)])
def test_a_centre_line_moves_the_plane_as_far_as_it_counts(share: float, at: int) -> None:
    leads = two_labels(noise=0)  # from 2 to 14, parted at 7
    assert place(leads, told(share, start=3)) == at
    part(leads, [(1, 0, 1, told(share, start=3))])
    assert np.flatnonzero((classes(leads) == 2).any((0, 2)))[0] == at


def test_a_centre_line_depends_on_the_shape_and_where_it_lies() -> None:
    weights = [0.0] * MEASURES
    weights[1] = 0.5  # how far before the centre the first point lies
    for moved in (0, 2):
        leads = np.roll(two_labels(noise=0), moved, axis=2)
        assert place(leads, (1.0, 0.0, weights)) == 5 + moved  # 8 - 5.6 / 2


@pytest.mark.parametrize("at", [2, 14])
def test_where_the_network_sees_one_label_alone_a_centre_line_counts_nothing(at: int) -> None:
    leads = two_labels(noise=0, at=at)
    before = classes(leads)
    part(leads, [(1, 0, 1, told(1, start=0))])
    assert np.array_equal(classes(leads), before)


def test_a_plane_lies_within_the_volume_whatever_a_centre_line_tells() -> None:
    leads = two_labels(noise=0)
    assert place(leads, told(1, start=100)) == 16
    assert place(leads, told(1, start=-100)) == 0


def test_a_plan_says_how_much_its_centre_line_counts() -> None:
    line = CentreLine(start=1.5, weights=(0.25,) * MEASURES, share=0.6)
    parted = plan().parting([Plane(axis="z", lower=9, upper=4, centre_line=line)])
    assert planes_of(parted) == [(2, 1, 0, (0.6, 1.5, (0.25,) * MEASURES))]
    assert parted.postprocessing.endswith("parts head from tail, by 60% where their centre line tells")
    assert Plan.parse(parted.model_dump(), "plan") == parted and parted.digest != plan().digest
