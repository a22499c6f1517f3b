"""A folder a case: files that differ in their modality, and a label map."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from segline.common.errors import SeglineError
from segline.data.declarations.class_folders import has_class_folders
from segline.data.fingerprint import take_fingerprint
from segline.data.sources import fetch
from segline.data.verification import verify
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume
from segline.planning.plans import make_plan
from segline.tasks import read_task
from tests.kinds.class_folders import write_volumes

BRATS = ("flair", "t1", "t1ce", "t2")


def write_case(folder: Path, files: dict[str, int], label: str, values: tuple[int, ...]) -> None:
    """A file of one intensity for each name, and a label map of some values."""
    rng = np.random.default_rng(len(folder.name) + sum(map(ord, folder.name)))
    for name, intensity in files.items():
        voxels = rng.integers(1, 9, (1, 9, 8, 7)).astype(np.int16) + intensity
        write_volume(folder / f"{name}.nii.gz", Volume(voxels, np.eye(4)))
    voxels = rng.choice(values, (1, 9, 8, 7)).astype(np.uint8)
    write_volume(folder / f"{label}.nii.gz", Volume(voxels, np.eye(4)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As BraTS hands out its cases; the last has no enhancing tumour."""
    folder = tmp_path / "BraTS"
    for number, values in ((1, (0, 1, 2, 4)), (2, (0, 1, 2, 4)), (3, (0, 1, 2))):
        name = f"BraTS20_Training_{number:03d}"
        files = {f"{name}_{modality}": 100 * place for place, modality in enumerate(BRATS)}
        write_case(folder / name, files, f"{name}_seg", values)
    (folder / "name_mapping.csv").write_text("Grade")
    return folder


def case(root: Path, number: int) -> Path:
    return root / f"BraTS20_Training_{number:03d}"


def test_what_differs_between_the_names_of_files_is_the_modality(root: Path) -> None:
    manifest = verify(root)
    assert manifest.modalities == BRATS
    assert [case.name for case in manifest.cases] == [
        f"BraTS20_Training_{number:03d}" for number in (1, 2, 3)
    ]
    first = manifest.cases[0]
    assert [file.path.rpartition("_")[2] for file in first.images] == [f"{name}.nii.gz" for name in BRATS]
    assert first.label_map.path == "BraTS20_Training_001/BraTS20_Training_001_seg.nii.gz"
    np.testing.assert_array_equal(manifest.image(first).array.mean(axis=(1, 2, 3)) // 100, [0, 1, 2, 3])


def test_labels_are_the_values_that_occur_in_any_case(root: Path) -> None:
    manifest = verify(root)
    assert manifest.labels == {0: "background", 1: "label 1", 2: "label 2", 4: "label 4"}
    assert manifest.case("BraTS20_Training_003").label_voxels[4] == 0
    plan = make_plan(manifest, take_fingerprint(manifest), read_task("brain"))
    assert plan.label_values == (0, 1, 2, 4) and len(plan.channels) == 4


@pytest.mark.parametrize(
    ("files", "modalities"),
    [
        (("TCGA-1_t1_bet", "TCGA-1_t1c_bet", "TCGA-1_fla_bet"), ("fla", "t1", "t1c")),
        (("TCGA-1-t2f", "TCGA-1-t2w"), ("t2f", "t2w")),
        (("other_t1", "other_t1_gd"), ("t1", "t1_gd")),
        (("T1", "FLAIR"), ("FLAIR", "T1")),
        (("TCGA-1_ct",), ("ct",)),
        (("image",), ("image",)),
    ],
    ids=lambda names: " ".join(names),
)
def test_what_the_names_share_is_no_part_of_a_modality(tmp_path, files, modalities):
    write_case(tmp_path / "data/TCGA-1", dict.fromkeys(files, 0), "seg_fusion", (0, 1))
    assert verify(tmp_path / "data").modalities == modalities


def test_a_patient_called_by_the_letters_of_a_label_map_is_none(tmp_path: Path) -> None:
    write_case(tmp_path / "data/Segers", {"Segers_t1": 0, "Segers_t2": 0}, "Segers_SEG", (0, 1))
    assert verify(tmp_path / "data").modalities == ("t1", "t2")


def test_dataset_json_may_name_labels_and_order_channels(root: Path) -> None:
    declared = {
        "name": "BraTS",
        "labels": {"0": "background", "1": "core", "2": "oedema", "4": "enhancing", "9": "ignore"},
        "channel_names": {"0": "t2", "1": "t1", "2": "t1ce", "3": "flair"},
    }
    (root / "dataset.json").write_text(json.dumps(declared))
    manifest = verify(root)
    assert manifest.labels[2] == "oedema" and manifest.ignore == 9 and manifest.name == "BraTS"
    assert manifest.modalities == ("t2", "t1", "t1ce", "flair")
    assert manifest.cases[0].images[0].path.endswith("_t2.nii.gz")


def test_a_value_that_dataset_json_does_not_name_is_refused(root: Path) -> None:
    (root / "dataset.json").write_text(json.dumps({"labels": {"1": "core", "2": "oedema"}}))
    with pytest.raises(SeglineError, match=r"_001_seg.nii.gz: label value 4 .* not declared in dataset.json"):
        verify(root)


def test_other_names_of_channels_in_dataset_json_are_refused(root: Path) -> None:
    (root / "dataset.json").write_text(json.dumps({"modality": ["a", "b", "c", "d"]}))
    with pytest.raises(SeglineError, match='"modality" names a, b, c, d, the files of the cases flair, t1'):
        verify(root)


def _without_a_modality(root: Path) -> None:
    (case(root, 2) / "BraTS20_Training_002_t1ce.nii.gz").unlink()


def _one_too_many(root: Path) -> None:
    shutil.copy(
        case(root, 2) / "BraTS20_Training_002_t1.nii.gz", case(root, 2) / "BraTS20_Training_002_adc.nii.gz"
    )


def _without_a_label(root: Path) -> None:
    (case(root, 2) / "BraTS20_Training_002_seg.nii.gz").unlink()


def _two_labels(root: Path) -> None:
    shutil.copy(case(root, 2) / "BraTS20_Training_002_seg.nii.gz", case(root, 2) / "W39_Segm.nii.gz")


def _packed_and_unpacked(root: Path) -> None:
    packed = case(root, 2) / "BraTS20_Training_002_t1.nii.gz"
    shutil.copy(packed, packed.with_suffix(""))


def _no_label_map(root: Path) -> None:
    path = case(root, 2) / "BraTS20_Training_002_seg.nii.gz"
    write_volume(path, Volume(np.full((1, 9, 8, 7), 700, np.int16), np.eye(4)))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            _without_a_modality,
            "BraTS20_Training_002: no file of t1ce, and most cases have flair, t1",
        ),
        (_one_too_many, "002: BraTS20_Training_002_adc.nii.gz is one too many, most cases have flair"),
        (_without_a_label, "BraTS20_Training_002: no file has 'seg' in its name; add the label map"),
        (_two_labels, "002_seg.nii.gz and W39_Segm.nii.gz both have 'seg' in their names; leave the one"),
        (
            _packed_and_unpacked,
            "002_t1.nii and BraTS20_Training_002_t1.nii.gz are of one modality",
        ),
        (
            _no_label_map,
            "002_seg.nii.gz: has values from 700 to 700; a label map has whole",
        ),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_a_case_that_is_not_as_the_others_is_refused_in_one_line(root, damage, told):
    damage(root)
    with pytest.raises(SeglineError, match=told) as error:
        verify(root)
    assert "\n" not in str(error.value)


def test_label_maps_without_a_label_are_refused(tmp_path: Path) -> None:
    write_case(tmp_path / "data/a", {"t1": 0}, "seg", (0,))
    with pytest.raises(SeglineError, match="no voxel of any label map is labelled"):
        verify(tmp_path / "data")


def test_folders_of_cases_are_no_classes_and_folders_of_classes_no_cases(root: Path, tmp_path: Path) -> None:
    assert not has_class_folders(root)
    assert has_class_folders(write_volumes(tmp_path / "Shapes", each=2))


def test_an_archive_of_them_is_unpacked(root: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "brats"), "gztar", root.parent, root.name)
    assert verify(fetch(archive, tmp_path / "store")).modalities == BRATS
