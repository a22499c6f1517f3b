"""Which files below a folder are images, which are one image together, and what their answers are called."""

from pathlib import Path

import numpy as np
import pytest

from segline.common.errors import SeglineError
from segline.plan import Plan
from segline.serving.folders.finding import Image, find_images

from ...conftest import small_plan
from ...imaging.dicom.written import dataset_of, numbered, write_series


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def touched(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path, plan: Plan | None = None) -> dict[str, str]:
    """Every image and its answer."""
    images, _ = find_images(root, plan or small_plan(), ".nii.gz", root / "masks")
    return {image.name: image.answer for image in images}


def test_every_volume_is_found_wherever_it_lies_and_its_answer_lies_alike(root: Path) -> None:
    touched(root, "b.nii.gz", "a/CT.NII", "a/deep/er/scan.nrrd", "z.mha", "y.mgz")
    assert found(root) == {
        "b.nii.gz": "b.nii.gz",
        "y.mgz": "y.nii.gz",
        "z.mha": "z.nii.gz",
        "a/CT.NII": "a/CT.nii.gz",
        "a/deep/er/scan.nrrd": "a/deep/er/scan.nii.gz",
    }


def test_what_is_hidden_half_written_of_the_system_or_an_answer_is_no_image(root: Path) -> None:
    touched(
        root, "CT.nii", "._CT.nii", ".writing-8.nii.gz", ".cache/a.nii", "__MACOSX/b.nii", "masks/CT.nii.gz"
    )
    assert found(root) == {"CT.nii": "CT.nii.gz"}


def test_other_files_are_counted(root: Path) -> None:
    touched(root, "CT.nii", "notes.txt", "a/report.pdf", "a/preview.png")
    assert find_images(root, small_plan(), ".nii.gz", root / "masks")[1] == 3


def test_a_pair_is_one_image_and_voxels_beside_their_header_are_none(root: Path) -> None:
    touched(root, "a.hdr", "a.img", "b.hdr.gz", "b.img.gz", "c.mhd", "c.raw", "lonely.img")
    assert found(root) == {f"{name}": f"{name[0]}.nii.gz" for name in ("a.hdr", "b.hdr.gz", "c.mhd")} | {
        "lonely.img": "lonely.nii.gz"
    }


def test_images_that_are_called_alike_keep_their_whole_names(root: Path) -> None:
    touched(root, "CT.nii.gz", "CT.nrrd", "MR.nii")
    assert found(root) == {
        "CT.nii.gz": "CT.nii.gz.nii.gz",
        "CT.nrrd": "CT.nrrd.nii.gz",
        "MR.nii": "MR.nii.gz",
    }


def test_two_answers_of_one_name_are_refused(root: Path) -> None:
    touched(root, "a.nii", "a.mha", "a.nii.nii")
    with pytest.raises(SeglineError, match=r"answer would be a\.nii\.nii\.gz, as that of .*; rename one"):
        found(root)


def test_a_link_that_leads_back_is_followed_once(root: Path) -> None:
    touched(root, "a/CT.nii")
    (root / "a/round").symlink_to(root)
    assert found(root) == {"a/CT.nii": "a/CT.nii.gz"}


class TestDicom:
    def test_a_folder_of_slices_is_one_image_beside_others(self, root: Path) -> None:
        write_series(root / "CT", numbered(4))
        touched(root, "CT/notes.txt", "CT/other.nii")
        assert found(root) == {"CT/other.nii": "CT/other.nii.gz", "CT": "CT.nii.gz"}

    def test_slices_are_known_by_their_first_bytes(self, root: Path) -> None:
        for number, path in enumerate(sorted(write_series(root / "CT", numbered(3)).iterdir())):
            path.rename(path.with_name(f"I{number}"))
        assert found(root) == {"CT": "CT.nii.gz"}

    def test_the_folder_itself_may_be_a_series(self, root: Path) -> None:
        write_series(root, numbered(3))
        (image,), _ = find_images(root, small_plan(), ".nii.gz", root / "masks")
        assert (image.name, image.paths, image.answer) == ("images", (root,), "images.nii.gz")

    def test_a_folder_with_nothing_but_a_report_or_a_directory_has_none(self, root: Path) -> None:
        report = dataset_of(np.zeros((2, 2), np.int16), (0, 0, 0), 0)
        report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
        (root / "SR").mkdir()
        report.save_as(root / "SR/report.dcm")
        report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
        report.save_as(root / "DICOMDIR")
        assert found(root) == {}

    def test_a_damaged_slice_is_one_all_the_same(self, root: Path) -> None:
        touched(root, "CT/IM_0001.dcm")
        assert found(root) == {"CT": "CT.nii.gz"}


class TestChannels:
    plan = small_plan(channels=3).model_copy(update={"channels": ("FLAIR", "T1", "T1ce")})

    def images(self, root: Path) -> list[Image]:
        return find_images(root, self.plan, ".nii.gz", root / "masks")[0]

    @pytest.mark.parametrize("names", [["0000", "0001", "0002"], ["flair", "t1", "t1ce"]])
    def test_files_of_one_channel_each_are_one_image_in_the_plans_order(
        self, names: list[str], root: Path
    ) -> None:
        files = [f"a/CASE_{name}.nii.gz" for name in names]
        touched(root, *reversed(files))
        (image,) = self.images(root)
        assert (image.name, image.answer) == ("a/CASE", "a/CASE.nii.gz")
        assert image.paths == tuple(root / file for file in files)

    def test_a_missing_channel_is_told_when_it_is_read(self, root: Path) -> None:
        touched(root, "CASE_0000.nii.gz", "CASE_0002.nii.gz")
        (image,) = self.images(root)
        with pytest.raises(SeglineError, match=r"^CASE: no file of T1; add it, or give one file with all"):
            image.read()

    def test_a_file_with_all_channels_is_an_image_of_its_own(self, root: Path) -> None:
        touched(root, "BRATS_001.nii.gz", "BRATS_002.nii.gz")
        assert [image.answer for image in self.images(root)] == ["BRATS_001.nii.gz", "BRATS_002.nii.gz"]

    def test_numbers_beyond_the_channels_are_of_cases(self, root: Path) -> None:
        names = [f"case_{number:04d}.nii.gz" for number in range(1, 6)]
        touched(root, *names)
        assert [(image.name, len(image.paths)) for image in self.images(root)] == [(n, 1) for n in names]

    def test_of_one_channel_a_number_is_part_of_the_name(self, root: Path) -> None:
        touched(root, "CASE_0000.nii.gz")
        assert found(root) == {"CASE_0000.nii.gz": "CASE_0000.nii.gz"}


def test_another_size_or_time_of_any_file_may_be_another_image(root: Path) -> None:
    write_series(root / "CT", numbered(3))
    (image,), _ = find_images(root, small_plan(), ".nii.gz", root / "masks")
    before = image.stamp
    assert image.stamp == before and len(before) == 3
    (root / "CT/IM_0001.dcm").touch()
    assert image.stamp != before
