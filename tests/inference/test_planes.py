"""Labels that a plane parts."""

import numpy as np
import pytest
import torch

from segline.common.arrays import Array
from segline.imaging.volume import Volume
from segline.inference.planes import part, planes_of
from segline.inference.predictor import Predictor
from segline.inference.stitching import predict_leads
from segline.plan import Plan, Plane

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
    part(given, [(axis, 0, 1)])
    found = np.moveaxis(classes(given), axis, 1)
    assert not (found[:, :7] == 2).any() and not (found[:, 7:] == 1).any()
    was = np.moveaxis(before, axis, 1)
    assert (was[:, :7] == 2).any() and (was[:, 7:] == 1).any(), "nothing to part"
    assert ((found == 3) == (was == 3)).mean() > 0.99


def test_what_is_neither_is_left_alone() -> None:
    leads = two_labels(noise=0)
    leads[2, 4:6, 4:12, 4:6] = 9
    part(leads, [(1, 0, 1)])
    assert (classes(leads)[4:6, 4:12, 4:6] == 3).all()


def test_a_volume_with_one_of_the_labels_keeps_it_whole() -> None:
    for wanted in (1, 2):
        leads = two_labels(noise=0, at=14 if wanted == 1 else 2)
        before = classes(leads)
        part(leads, [(1, 0, 1)])
        assert np.array_equal(classes(leads), before) and (before == wanted).any()


def test_a_volume_with_neither_has_neither() -> None:
    leads = np.full((2, 4, 4, 4), -3, np.float32)
    part(leads, [(2, 1, 0)])
    assert not classes(leads).any()


def test_either_label_is_as_probable_as_both_were() -> None:
    leads = two_labels(noise=1)
    odds = np.exp(leads[:2].astype(np.float64)).sum(0)
    part(leads, [(1, 0, 1)])
    np.testing.assert_allclose(np.exp(leads[:2].max(0)), odds, rtol=1e-5)


def plan() -> Plan:
    values = small_plan(labels=3).model_dump()
    return Plan.parse({**values, "labels": {0: "background", 4: "tail", 9: "head"}}, "plan")


def test_a_plan_names_labels_by_their_values() -> None:
    parted = plan().parting([Plane(axis="z", lower=9, upper=4)])
    assert planes_of(parted) == [(2, 1, 0)]
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
