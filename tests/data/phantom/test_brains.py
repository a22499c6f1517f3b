"""Made-up brains: a tumour in four channels, and infants in Analyze pairs."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from segline.common.errors import SeglineError
from segline.data.fingerprint import take_fingerprint
from segline.data.iseg import LABELS as OF_INFANTS
from segline.data.phantom.gliomas import CHANNELS, LABELS, glioma_case, write_gliomas
from segline.data.phantom.infants import infant_case, write_infants
from segline.data.sources import fetch
from segline.data.verification import verify
from segline.planning.plans import make_plan
from segline.tasks import read_task

pytestmark = pytest.mark.heavy

CASES = 6


@pytest.fixture(scope="module")
def gliomas() -> list[tuple[np.ndarray, np.ndarray]]:
    """Image ``(4, X, Y, Z)`` and label ``(X, Y, Z)`` of each."""
    cases = [glioma_case(index, voxel_mm=2) for index in range(CASES)]
    return [(image.array, label.array[0]) for image, label in cases]


def test_a_case_has_the_shape_of_brats(gliomas) -> None:
    for image, label in gliomas:
        assert image.shape == (len(CHANNELS), 120, 120, 77) and image.dtype == np.int16
        assert label.shape == image.shape[1:] and label.dtype == np.uint8
        assert {*np.unique(label)} <= {*LABELS}


def test_outside_the_brain_is_zero_in_every_channel_and_inside_nowhere(gliomas) -> None:
    for image, _ in gliomas:
        inside = image > 0
        assert (inside == inside[0]).all()
        assert 1000 < inside[0].sum() * 8 / 1000 < 1700, "millilitres of a brain"


def test_the_tumour_is_nested_in_its_oedema(gliomas) -> None:
    for _, label in gliomas:
        _, parts = ndimage.label(label > 0)
        assert parts >= 1 and 10 < (label > 0).sum() * 8 / 1000 < 250
        around = ndimage.binary_dilation(label >= 2) & (label < 2)
        assert (label[around] == 1).mean() > 0.6, "the rest borders on cortex"
        necrosis = ndimage.binary_dilation(label == 2) & (label != 2)
        assert (label == 3).sum() == 0 or (label[necrosis] == 3).mean() > 0.6


def test_contrast_medium_shows_in_t1gd_oedema_in_flair_and_t2(gliomas) -> None:
    image, label = next(case for case in gliomas if (case[1] == 3).any())
    flair, t1, t1gd, t2 = image.astype(float)
    brain = (flair > 0) & (label == 0)
    ratio = np.median(t1gd[brain]) / np.median(t1[brain])
    assert np.median(t1gd[label == 3]) > 1.5 * ratio * np.median(t1[label == 3])
    for channel in (flair, t2):
        assert np.median(channel[label == 1]) > 1.3 * np.median(channel[brain])


def test_the_same_numbers_give_the_same_bytes_and_others_others(tmp_path: Path) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_gliomas(tmp_path / folder, 1, seed, voxel_mm=4)
    digests = [
        hashlib.sha256((tmp_path / folder / "imagesTr/glioma_000.nii.gz").read_bytes()).hexdigest()
        for folder in "abc"
    ]
    assert digests[0] == digests[1] != digests[2]


def test_the_same_patient_lies_on_a_coarser_grid() -> None:
    fine, coarse = (glioma_case(0, voxel_mm=mm)[1].array[0] > 0 for mm in (2, 4))
    assert coarse.sum() * 8 == pytest.approx(fine.sum(), rel=0.1)


def test_an_infants_tissues_are_layers_of_nearly_one_brightness() -> None:
    channels, label = infant_case(0, voxel_mm=2)
    assert channels.shape == (2, 72, 96, 128) and [*np.unique(label)] == [0, 10, 150, 250]
    assert ((channels[0] > 0) == (label > 0)).all()
    t1 = {value: np.median(channels[0][label == value]) for value in (10, 150, 250)}
    assert t1[10] < t1[150] < t1[250] < 1.4 * t1[150]


def test_gliomas_are_made_once_and_planned(tmp_path: Path) -> None:
    folder = fetch("phantom-brain:3:5:0.5", tmp_path)
    assert folder == fetch("phantom-brain:3:5:0.5", tmp_path) and "brain-3-5-0.5-v" in folder.name
    manifest = verify(folder)
    assert manifest.modalities == CHANNELS and manifest.labels == LABELS
    plan = make_plan(manifest, take_fingerprint(manifest), read_task("brain"))
    assert plan.preprocessing.spacing_mm == (2, 2, 2) and plan.preprocessing.foreground_above == 0


def test_infants_come_as_analyze_pairs_through_the_door_of_iseg(tmp_path: Path) -> None:
    manifest = verify(fetch("phantom-iseg:3:0:0.5", tmp_path))
    assert manifest.labels == OF_INFANTS and manifest.modalities == ("T1", "T2")
    assert manifest.cases[0].spacing_mm == (2, 2, 2) and manifest.cases[0].shape == (72, 96, 128)
    assert manifest.cases[0].label_voxels[250] > manifest.cases[0].label_voxels[10] > 0


@pytest.mark.parametrize(("write", "name"), [(write_gliomas, "phantom"), (write_infants, "phantom-iseg")])
def test_none_is_refused(write, name, tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match=f"{name}: 0 cases asked for"):
        write(tmp_path / "none", 0)
