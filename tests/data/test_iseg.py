"""iSeg-2017's Analyze pairs, made up here, through the same door as any data set."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segline.common.errors import SeglineError
from segline.data.fingerprint import take_fingerprint
from segline.data.iseg import LABELS
from segline.data.sources import fetch
from segline.data.verification import verify
from segline.planning.plans import make_plan
from segline.tasks import read_task

SHAPE = (9, 8, 7)


def write_subject(root: Path, number: int, labelled: bool = True) -> None:
    rng = np.random.default_rng(number)
    label = rng.choice([0, 10, 150, 250], SHAPE).astype(np.uint8)
    for kind, array in {"T1": 2 * label.astype(int), "T2": 500 - label.astype(int), "label": label}.items():
        if kind == "label" and not labelled:
            continue
        image = nib.AnalyzeImage(array.astype(np.int16 if kind != "label" else np.uint8)[..., None], None)
        image.header.set_zooms((1.0, 1.5, 2.0, 1.0))
        nib.save(image, root / f"subject-{number}-{kind}.hdr")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "iSeg"
    folder.mkdir()
    for number in (1, 2, 10):
        write_subject(folder, number)
    write_subject(folder, 11, labelled=False)
    return folder


def test_pairs_become_cases_of_two_channels_and_four_values(root: Path, tmp_path: Path) -> None:
    folder = fetch(str(root), tmp_path / "store")
    manifest = verify(folder)
    assert [case.name for case in manifest.cases] == ["subject_01", "subject_02", "subject_10"]
    assert manifest.modalities == ("T1", "T2") and manifest.labels == LABELS
    first = manifest.cases[0]
    assert first.shape == SHAPE and first.spacing_mm == (1.0, 1.5, 2.0)
    image, label = manifest.image(first).array, manifest.label(first).array
    np.testing.assert_array_equal(image[1].astype(int), 500 - label[0].astype(int))
    assert "no orientation" in first.remarks[0]
    plan = make_plan(manifest, take_fingerprint(manifest), read_task("iseg"))
    assert plan.label_values == (0, 10, 150, 250) and len(plan.channels) == 2
    assert len(json.loads((folder / "dataset.json").read_text())["test"]) == 1


def test_what_was_converted_is_not_converted_again_unless_it_changed(root: Path, tmp_path: Path) -> None:
    first = fetch(str(root), tmp_path / "store")
    assert fetch(str(root), tmp_path / "store") == first
    write_subject(root, 12)
    assert fetch(str(root), tmp_path / "store") != first


def test_a_missing_half_and_a_damaged_one_are_told(root: Path, tmp_path: Path) -> None:
    (root / "subject-2-T2.img").rename(root / "kept")
    with pytest.raises(SeglineError, match=r"subject-2-T2.img: no such file; put it beside"):
        fetch(str(root), tmp_path / "store")
    (root / "subject-2-T2.img").write_bytes((root / "kept").read_bytes()[:100])
    with pytest.raises(SeglineError, match=r"subject-2-T2.hdr: not a readable Analyze pair"):
        fetch(str(root), tmp_path / "store")
    assert not list((tmp_path / "store/datasets").glob("*"))


def test_a_folder_without_a_label_is_refused(tmp_path: Path) -> None:
    (tmp_path / "iSeg").mkdir()
    write_subject(tmp_path / "iSeg", 1, labelled=False)
    with pytest.raises(SeglineError, match="no subject has a label"):
        fetch(str(tmp_path / "iSeg"), tmp_path / "store")
