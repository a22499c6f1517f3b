"""What verifying a Decathlon folder finds, and what a manifest keeps."""

import gzip
import json
import os
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from segline.common.errors import SeglineError
from segline.data.manifest import Manifest
from segline.data.verification import verify
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume

SHAPE = (7, 6, 5)
AFFINE = np.diag([-1.5, 1.5, 2.0, 1.0])
LABELS = {"0": "background", "1": "spleen"}


def image_array(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 100, SHAPE).astype(np.float32)


def label_array() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[2:4, 2:4, 2:4] = 1
    return label


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def declare(root: Path, **changes: Any) -> None:
    names = ["case_a", "case_b", "case_c"]
    content = {
        "name": "Spleen",
        "licence": "CC-BY-SA 4.0",
        "modality": {"0": "CT"},
        "labels": LABELS,
        "training": [
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names
        ],
        **changes,
    }
    (root / "dataset.json").write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A sound folder of three cases."""
    folder = tmp_path / "data"
    for seed, name in enumerate(["case_a", "case_b", "case_c"]):
        save(folder / f"imagesTr/{name}.nii.gz", image_array(seed))
        save(folder / f"labelsTr/{name}.nii.gz", label_array())
    declare(folder)
    return folder


def refusal(root: Path) -> str:
    with pytest.raises(SeglineError) as caught:
        verify(root)
    return str(caught.value)


def test_a_sound_folder_gives_a_manifest(root: Path) -> None:
    manifest = verify(root)
    assert (manifest.name, manifest.licence, manifest.modalities) == ("Spleen", "CC-BY-SA 4.0", ("CT",))
    assert manifest.labels == {0: "background", 1: "spleen"}
    assert manifest.root == str(root)
    assert [case.name for case in manifest.cases] == ["case_a", "case_b", "case_c"]


def test_a_case_tells_geometry_and_label_voxels(root: Path) -> None:
    case = verify(root).case("case_b")
    assert (case.shape, case.spacing_mm, case.orientation) == (SHAPE, (1.5, 1.5, 2.0), "LAS")
    assert case.label_voxels == {0: 7 * 6 * 5 - 8, 1: 8}
    assert case.images[0].path == "imagesTr/case_b.nii.gz"


def test_progress_counts_the_cases(root: Path) -> None:
    told: list[str] = []
    verify(root, progress=lambda _, words: told.append(words))
    assert told == [f"{number} of 3 cases verified" for number in (1, 2, 3)]


def test_cases_are_sorted_by_name(root: Path) -> None:
    expected = verify(root).digest
    listed = json.loads((root / "dataset.json").read_text())["training"]
    declare(root, training=listed[::-1])
    assert verify(root).digest == expected


def test_image_and_label_are_channel_first_volumes(root: Path) -> None:
    manifest = verify(root)
    image, label = manifest.image(manifest.cases[0]), manifest.label(manifest.cases[0])
    assert np.array_equal(image.array, image_array(0)[None])
    assert np.array_equal(label.array, label_array()[None]) and label.array.dtype == np.uint8
    assert image.grid.matches(label.grid)


def test_the_digest_of_a_manifest_does_not_depend_on_its_place(root: Path) -> None:
    before = verify(root).digest
    moved = root.rename(root.with_name("elsewhere"))
    assert verify(moved).digest == before


def test_the_digest_of_a_case_depends_on_content_alone(root: Path) -> None:
    before = verify(root).case("case_a").digest
    for folder in ("imagesTr", "labelsTr"):
        (root / folder / "case_a.nii.gz").rename(root / folder / "other_a.nii.gz")
    declare(root, training=[{"image": "imagesTr/other_a.nii.gz", "label": "labelsTr/other_a.nii.gz"}])
    assert verify(root).case("other_a").digest == before


def test_a_changed_label_changes_both_digests(root: Path) -> None:
    before = verify(root)
    save(root / "labelsTr/case_a.nii.gz", np.roll(label_array(), 1))
    after = verify(root)
    assert after.digest != before.digest
    assert after.cases[0].digest != before.cases[0].digest
    assert after.cases[1].digest == before.cases[1].digest


def test_an_unknown_case_is_told(root: Path) -> None:
    with pytest.raises(SeglineError, match="case_z: no such case in data set Spleen, which has 3"):
        verify(root).case("case_z")


def test_a_4d_image_is_channels(root: Path) -> None:
    save(root / "imagesTr/case_a.nii.gz", np.stack([image_array(0), image_array(1)], axis=-1))
    pair = {"image": "imagesTr/case_a.nii.gz", "label": "labelsTr/case_a.nii.gz"}
    declare(root, modality={"0": "T1", "1": "T2"}, training=[pair])
    manifest = verify(root)
    assert manifest.modalities == ("T1", "T2")
    assert np.array_equal(manifest.image(manifest.cases[0]).array, np.stack([image_array(0), image_array(1)]))


def test_a_file_a_channel_in_the_wording_of_nnunet(root: Path) -> None:
    save(root / "imagesTr/brain_0000.nii.gz", image_array(0))
    save(root / "imagesTr/brain_0001.nii.gz", np.full(SHAPE, 7, np.int16))
    images = ["imagesTr/brain_0000.nii.gz", "imagesTr/brain_0001.nii.gz"]
    content = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "tumour": 1},
        "training": [{"image": images, "label": "labelsTr/case_a.nii.gz"}],
    }
    (root / "dataset.json").write_text(json.dumps(content))
    manifest = verify(root)
    assert manifest.labels == {0: "background", 1: "tumour"}
    case = manifest.case("brain")
    assert [file.path for file in case.images] == images
    image = manifest.image(case)
    assert image.array.shape == (2, *SHAPE) and image.array.dtype == np.float32
    assert (image.array[1] == 7).all()


def test_a_float_label_of_whole_numbers_is_accepted(root: Path) -> None:
    save(root / "labelsTr/case_a.nii.gz", label_array().astype(np.float64))
    manifest = verify(root)
    assert manifest.cases[0].label_voxels[1] == 8
    assert manifest.label(manifest.cases[0]).array.dtype == np.uint8


def test_a_manifest_survives_writing_and_reading(root: Path, tmp_path: Path) -> None:
    manifest = verify(root)
    manifest.write(tmp_path / "manifest.json")
    assert Manifest.read(tmp_path / "manifest.json") == manifest
    assert json.loads((tmp_path / "manifest.json").read_text())["digest"] == manifest.digest


def test_a_manifest_that_was_edited_is_refused(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    verify(root).write(path)
    path.write_text(path.read_text().replace('"spleen"', '"liver"'))
    with pytest.raises(SeglineError, match=r"its digest .* does not fit .*; verify the data again"):
        Manifest.read(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"cases": 3}'])
def test_what_is_not_a_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(SeglineError, match=r"m\.json: "):
        Manifest.read(tmp_path / "m.json")


def test_records_spare_decoding_but_not_hashing(root: Path, tmp_path: Path) -> None:
    first = verify(root, tmp_path / "records")
    records = sorted((tmp_path / "records").iterdir())
    assert len(records) == 3
    for record in records:
        record.write_text(record.read_text().replace('"LAS"', '"XYZ"'))
    assert {case.orientation for case in verify(root, tmp_path / "records").cases} == {"XYZ"}
    assert verify(root) == first


def test_a_changed_file_is_examined_again_in_spite_of_records(root: Path, tmp_path: Path) -> None:
    verify(root, tmp_path / "records")
    save(root / "labelsTr/case_b.nii.gz", np.full(SHAPE, 9, np.uint8))
    with pytest.raises(SeglineError, match="label value 9"):
        verify(root, tmp_path / "records")


def test_other_declared_labels_are_examined_again_in_spite_of_records(root: Path, tmp_path: Path) -> None:
    verify(root, tmp_path / "records")
    declare(root, labels={"0": "background", "2": "liver"})
    with pytest.raises(SeglineError, match="label value 1"):
        verify(root, tmp_path / "records")


def test_a_damaged_record_is_made_again(root: Path, tmp_path: Path) -> None:
    first = verify(root, tmp_path / "records")
    for record in (tmp_path / "records").iterdir():
        record.write_text("{")
    assert verify(root, tmp_path / "records") == first


def test_a_bad_case_leaves_no_record(root: Path, tmp_path: Path) -> None:
    save(root / "labelsTr/case_a.nii.gz", np.full(SHAPE, 9, np.uint8))
    with pytest.raises(SeglineError):
        verify(root, tmp_path / "records")
    assert len(list((tmp_path / "records").iterdir())) == 2


def test_a_label_of_another_shape_is_refused(root: Path) -> None:
    save(root / "labelsTr/case_b.nii.gz", label_array()[..., :4])
    assert refusal(root).startswith(
        "imagesTr/case_b.nii.gz: label grid 7x6x4 differs from image grid 7x6x5; "
    )


def test_a_label_at_another_place_is_refused(root: Path) -> None:
    shifted = AFFINE.copy()
    shifted[0, 3] = 12
    save(root / "labelsTr/case_b.nii.gz", label_array(), shifted)
    assert refusal(root).startswith(
        "imagesTr/case_b.nii.gz: label grid lies up to 12 mm off image grid, 0.1 mm are allowed: LAS 1.5"
    )


def test_an_undeclared_label_value_is_named_and_counted(root: Path) -> None:
    label = label_array()
    label[0, 0, :3] = 7
    save(root / "labelsTr/case_c.nii.gz", label)
    told = refusal(root)
    assert told.startswith(
        "labelsTr/case_c.nii.gz: label value 7 in 3 voxels is not declared in dataset.json"
    )
    assert "declared are 0, 1" in told


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_label_with_voxels_that_are_no_number_is_refused(root: Path, value: float) -> None:
    label = label_array().astype(np.float32)
    label[0, 0, 0] = value
    save(root / "labelsTr/case_a.nii.gz", label)
    assert refusal(root).startswith("labelsTr/case_a.nii.gz: 1 voxels are NaN or infinite")


@pytest.mark.parametrize("off", [1e-7, -1e-7, 5e-4])
def test_a_float_label_that_is_whole_but_for_rounding_is_that_number(root: Path, off: float) -> None:
    wanted = verify(root)
    label = label_array().astype(np.float32)
    save(root / "labelsTr/case_a.nii.gz", np.where(label > 0, label + off, label))
    manifest = verify(root)
    assert manifest.case("case_a").label_voxels == wanted.case("case_a").label_voxels
    np.testing.assert_array_equal(manifest.label(manifest.case("case_a")).array[0], label_array())


@pytest.mark.parametrize("value", [0.5, 1.01, -1.0])
def test_a_float_label_with_other_values_is_refused(root: Path, value: float) -> None:
    label = label_array().astype(np.float32)
    label[0, 0, 0] = value
    save(root / "labelsTr/case_a.nii.gz", label)
    assert refusal(root).startswith(f"labelsTr/case_a.nii.gz: label value {value:g} in 1 voxels is not ")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_with_voxels_that_are_no_number_is_refused(root: Path, value: float) -> None:
    image = image_array(0)
    image[1, 1, :2] = value
    save(root / "imagesTr/case_a.nii.gz", image)
    assert refusal(root).startswith("imagesTr/case_a.nii.gz: 2 voxels are NaN or infinite")


def test_a_truncated_image_is_refused(root: Path) -> None:
    path = root / "imagesTr/case_a.nii.gz"
    os.truncate(path, path.stat().st_size // 2)
    assert refusal(root).startswith("imagesTr/case_a.nii.gz: truncated or damaged gzip")


def test_a_missing_label_is_told(root: Path) -> None:
    (root / "labelsTr/case_b.nii.gz").unlink()
    assert refusal(root).startswith("labelsTr/case_b.nii.gz: no such file")


def test_a_2d_image_is_refused(root: Path) -> None:
    save(root / "imagesTr/case_a.nii.gz", image_array(0)[..., 0])
    assert refusal(root).startswith("imagesTr/case_a.nii.gz: a volume of three spatial axes is needed")


def test_a_4d_label_is_refused(root: Path) -> None:
    save(root / "labelsTr/case_a.nii.gz", np.stack([label_array()] * 2, axis=-1))
    assert refusal(root).startswith("labelsTr/case_a.nii.gz: a label must be 3-D")


def test_an_affine_without_volume_is_refused(root: Path) -> None:
    content = bytearray(nib.Nifti1Image(image_array(0), AFFINE).to_bytes())
    srow_z = slice(312, 328)
    content[srow_z] = bytes(16)
    (root / "imagesTr/case_a.nii.gz").write_bytes(content)
    assert refusal(root).startswith("imagesTr/case_a.nii.gz: ")
    assert "the sform places no volume in space" in refusal(root)


def test_more_channels_than_modalities_are_refused(root: Path) -> None:
    save(root / "imagesTr/case_a.nii.gz", np.stack([image_array(0)] * 2, axis=-1))
    assert refusal(root).startswith("imagesTr/case_a.nii.gz: 2 image channels, dataset.json declares 1 (CT)")


def test_channel_files_on_different_grids_are_refused(root: Path) -> None:
    save(root / "imagesTr/x_0000.nii.gz", image_array(0))
    save(root / "imagesTr/x_0001.nii.gz", image_array(0)[1:])
    images = ["imagesTr/x_0000.nii.gz", "imagesTr/x_0001.nii.gz"]
    declare(
        root,
        modality={"0": "T1", "1": "T2"},
        training=[{"image": images, "label": "labelsTr/case_a.nii.gz"}],
    )
    assert refusal(root).startswith(
        "imagesTr/x_0001.nii.gz: channel grid 6x6x5 differs from image grid 7x6x5"
    )


def test_the_first_bad_case_is_told_and_the_others_counted(root: Path) -> None:
    for name in ("case_b", "case_c"):
        (root / f"labelsTr/{name}.nii.gz").unlink()
    assert refusal(root).startswith("labelsTr/case_b.nii.gz: no such file")
    assert refusal(root).endswith("(1 more bad case)")


def test_a_link_out_of_the_folder_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "imagesTr/case_a.nii.gz").rename(tmp_path / "outside.nii.gz")
    (root / "imagesTr/case_a.nii.gz").symlink_to(tmp_path / "outside.nii.gz")
    assert refusal(root).startswith("imagesTr/case_a.nii.gz: a link that leads out of the folder")


@pytest.mark.parametrize("path", ["../data/imagesTr/case_a.nii.gz", "/etc/passwd"])
def test_a_declared_path_out_of_the_folder_is_refused(root: Path, path: str) -> None:
    declare(root, training=[{"image": path, "label": "labelsTr/case_a.nii.gz"}])
    assert refusal(root).startswith(f"dataset.json: training entry 1: path '{path}' leads out of the folder")


def test_two_cases_of_one_name_are_refused(root: Path) -> None:
    pair = {"image": "imagesTr/case_a.nii.gz", "label": "labelsTr/case_a.nii.gz"}
    declare(root, training=[pair, pair])
    assert refusal(root).startswith("imagesTr/case_a.nii.gz: case name case_a is also that of")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "dataset.json: the file is empty"),
        (" \n", "dataset.json: the file is empty"),
        ("{", "dataset.json: not JSON"),
        ("[1]", "dataset.json: a JSON object is needed"),
    ],
)
def test_an_index_that_cannot_be_read_is_refused(root: Path, text: str, told: str) -> None:
    (root / "dataset.json").write_text(text)
    assert refusal(root).startswith(told)


def test_a_missing_index_is_told(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"dataset.json: no such file in {tmp_path}")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"training": []}, "dataset.json: no training entries"),
        ({"training": None}, "dataset.json: no training entries"),
        ({"training": ["imagesTr/case_a.nii.gz"]}, "dataset.json: training entry 1 must be"),
        ({"training": [{"label": "a"}]}, "dataset.json: training entry 1 has no image"),
        ({"training": [{"image": []}]}, "dataset.json: training entry 1 has no image"),
        ({"training": [{"image": "a.nii"}]}, "dataset.json: training entry 1 (a.nii) has no label"),
        ({"modality": {}}, 'dataset.json: "modality" must name the channels'),
        ({"modality": {"1": "CT"}}, 'dataset.json: "modality" must name the channels'),
        ({"labels": {}}, 'dataset.json: "labels" must name'),
        ({"labels": {"0": "background"}}, 'dataset.json: "labels" must be different'),
        ({"labels": {"0": "background", "256": "x"}}, 'dataset.json: "labels" must be different'),
        (
            {"labels": {"s": 1, "ignore": 2, "Ignore": 3}},
            'dataset.json: two "labels" are called',
        ),
        ({"labels": {"a": 1, "b": 1}}, 'dataset.json: "labels" must be different'),
        (
            {"labels": {"background": 0, "a": [1, "x"]}},
            """dataset.json: "labels": region 'a' must list whole""",
        ),
        ({"labels": {"background": 0, "a": {"b": 1}}}, 'dataset.json: "labels" must map whole numbers'),
    ],
)
def test_an_index_that_declares_no_task_is_refused(root: Path, changes: dict[str, Any], told: str) -> None:
    declare(root, **changes)
    assert refusal(root).startswith(told)


def test_an_undeclared_background_is_added(root: Path) -> None:
    declare(root, labels={"1": "spleen"})
    assert verify(root).labels == {0: "background", 1: "spleen"}


def test_volumes_written_by_segline_verify(root: Path) -> None:
    write_volume(root / "imagesTr/case_a.nii.gz", Volume(image_array(0)[None], AFFINE))
    assert verify(root).cases[0].spacing_mm == (1.5, 1.5, 2.0)


def test_real_hippocampus_cases_verify(shared_data: Path) -> None:
    manifest = verify(shared_data / "Task04_Hippocampus")
    assert len(manifest.cases) == 208
    assert manifest.labels == {0: "background", 1: "Anterior", 2: "Posterior"}
    assert all(case.label_voxels[1] and case.label_voxels[2] for case in manifest.cases)


def test_real_spleen_cases_verify_in_mixed_orientations(shared_data: Path) -> None:
    manifest = verify(shared_data / "Task09_SpleenMini")
    assert len({case.orientation for case in manifest.cases}) > 1
    assert all(case.label_voxels[1] for case in manifest.cases)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"labels": {"0": "background", "1": "tumour", "2": "tumour"}}, "two \"labels\" are called 'tumour'"),
        ({"labels": {"0": "background", "1": "$__import__('os').getcwd()"}}, "begins with '$'"),
        ({"labels": {"0": "background", "1": "@network"}}, "begins with '@'"),
        ({"labels": {"0": "background", "1": " "}}, "must be 1 to 100 printable characters"),
        ({"labels": {"0": "background", "1": "a\nb"}}, "must be 1 to 100 printable characters"),
        ({"modality": {"0": "%inference.json"}}, "\"modality\": '%inference.json' begins with '%'"),
    ],
)
def test_a_name_that_others_would_misread_is_refused(root: Path, changes: dict[str, Any], line: str) -> None:
    declare(root, **changes)
    assert line in refusal(root)


@pytest.mark.parametrize("name", ["a" * 300 + ".nii.gz", "/".join(["imagesTr"] * 800)])
def test_a_name_that_no_file_can_have_is_told(root: Path, name: str) -> None:
    declare(root, training=[{"image": name, "label": "labelsTr/case_a.nii.gz"}])
    assert refusal(root) == f"{name}: cannot be read (File name too long)"


class TestIgnoredVoxels:
    """nnU-Net's label ``ignore``: voxels of which nothing is known."""

    LABELS: ClassVar = {"background": 0, "spleen": 1, "ignore": 2}

    def ignoring(self, root: Path) -> Manifest:
        label = label_array()
        label[5] = 2
        save(root / "labelsTr/case_a.nii.gz", label)
        declare(root, labels=self.LABELS)
        return verify(root)

    def test_they_are_no_class(self, root: Path) -> None:
        manifest = self.ignoring(root)
        assert manifest.labels == {0: "background", 1: "spleen"}
        assert manifest.ignore == 2

    def test_they_count_as_nothing(self, root: Path) -> None:
        case = self.ignoring(root).case("case_a")
        assert case.label_voxels == {0: 7 * 6 * 5 - 8 - 30, 1: 8}

    def test_they_are_not_labelled(self, root: Path) -> None:
        manifest = self.ignoring(root)
        np.testing.assert_array_equal(manifest.labelled(manifest.case("case_a")), label_array() == 1)

    def test_the_manifest_is_read_back(self, root: Path, tmp_path: Path) -> None:
        manifest = self.ignoring(root)
        manifest.write(tmp_path / "manifest.json")
        assert Manifest.read(tmp_path / "manifest.json") == manifest


class TestTwins:
    def test_cases_with_one_image_are_told(self, root: Path) -> None:
        save(root / "imagesTr/case_c.nii.gz", image_array(0))
        assert verify(root).twins == (("case_a", "case_c"),)
        assert verify(root).remarks == [
            "case_a and case_c are one image, and stay on one side of every split"
        ]

    def test_however_it_is_compressed(self, root: Path, tmp_path: Path) -> None:
        raw = gzip.decompress((root / "imagesTr/case_a.nii.gz").read_bytes())
        (root / "imagesTr/case_b.nii.gz").write_bytes(raw)
        for _ in range(2):  # and from the records
            assert verify(root, tmp_path / "records").twins == (("case_a", "case_b"),)

    def test_a_sound_folder_has_none_and_its_digest_is_what_it_was(self, root: Path) -> None:
        assert "twins" not in verify(root).model_dump()


def test_what_is_odd_about_a_header_is_kept_with_the_case(root: Path) -> None:
    image = nib.Nifti1Image(image_array(0), AFFINE)
    image.header.set_xyzt_units("mm")
    image.set_sform(np.diag([-1, 1, 1, 1]), code=1)
    image.set_qform(AFFINE, code=1)
    image.header.set_zooms((1.5, 1.5, 2))
    (root / "imagesTr/case_a.nii.gz").write_bytes(image.to_bytes())
    case = verify(root).case("case_a")
    assert case.spacing_mm == (1.5, 1.5, 2.0)
    assert case.remarks[0].startswith("imagesTr/case_a.nii.gz: the sform has a spacing of 1x1x1 mm")


class TestNnUNet:
    """Data sets in nnU-Net v2's own layout, whose index lists no cases."""

    def folder(self, root: Path, ending: str = ".nii.gz", labels: Any = None, **more: Any) -> Path:
        folder = root / "Dataset001_Two"
        for number, name in enumerate(["one", "two", "three"]):
            for channel in range(2):
                array = image_array(10 * number + channel)
                image = SimpleITK.GetImageFromArray(array.T)
                (folder / "imagesTr").mkdir(parents=True, exist_ok=True)
                SimpleITK.WriteImage(image, str(folder / f"imagesTr/{name}_000{channel}{ending}"))
            (folder / "labelsTr").mkdir(exist_ok=True)
            label = label_array()
            label[4, 2:4, 2:4] = 2
            SimpleITK.WriteImage(
                SimpleITK.GetImageFromArray(label.T), str(folder / f"labelsTr/{name}{ending}")
            )
        content = {
            "channel_names": {"0": "T1", "1": "T2"},
            "labels": labels or {"background": 0, "edema": 1, "core": 2},
            "numTraining": 3,
            "file_ending": ending,
            **more,
        }
        (folder / "dataset.json").write_text(json.dumps(content))
        return folder

    @pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
    def test_cases_are_known_by_their_files(self, tmp_path: Path, ending: str) -> None:
        manifest = verify(self.folder(tmp_path, ending))
        assert [case.name for case in manifest.cases] == ["one", "three", "two"]
        assert manifest.modalities == ("T1", "T2")
        np.testing.assert_array_equal(manifest.image(manifest.case("two")).array[1], image_array(11))
        assert manifest.case("one").label_voxels == {0: 7 * 6 * 5 - 12, 1: 8, 2: 4}

    def test_or_named_one_by_one(self, tmp_path: Path) -> None:
        names = {
            "one": {
                "images": ["imagesTr/one_0000.nii.gz", "imagesTr/one_0001.nii.gz"],
                "label": "labelsTr/one.nii.gz",
            }
        }
        assert [case.name for case in verify(self.folder(tmp_path, dataset=names)).cases] == ["one"]

    def test_regions_are_learned_as_the_values_they_are_made_of(self, tmp_path: Path) -> None:
        regions = {"background": 0, "whole": [1, 2], "core": [2]}
        manifest = verify(self.folder(tmp_path, labels=regions, regions_class_order=[1, 2]))
        assert manifest.labels == {0: "background", 1: "whole, value 1", 2: "core"}

    def test_an_image_without_a_label_is_told(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path)
        (folder / "labelsTr/two.nii.gz").unlink()
        assert (
            refusal(folder) == "imagesTr/two_0000.nii.gz: has no labelsTr/two.nii.gz; add it, or take it out"
        )

    def test_a_channel_that_is_missing_is_told(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path)
        (folder / "imagesTr/two_0001.nii.gz").unlink()
        assert refusal(folder).startswith("imagesTr/two_0001.nii.gz: no such file")


def test_an_index_of_a_million_cases_is_told_before_it_is_read(root: Path) -> None:
    with (root / "dataset.json").open("r+b") as file:
        file.truncate(64_000_001)
    assert refusal(root) == "dataset.json: larger than 64 MB; this is no such document"
