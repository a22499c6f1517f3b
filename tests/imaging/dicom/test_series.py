"""DICOM series: the same volume as the NIfTI file that was made of them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from segline.common.errors import SeglineError
from segline.imaging.dicom.series import read_series
from segline.imaging.files import read_volume
from segline.imaging.geometry import Reorientation

SimpleITK = pytest.importorskip("SimpleITK", reason="not installed; pip install 'segline[dicom]'")


@pytest.fixture
def series(shared_data: Path) -> Path:
    return shared_data / "ct_dicom_series"


@pytest.fixture
def copy(series: Path, tmp_path: Path) -> Path:
    """The series, to be damaged."""
    return shutil.copytree(series, tmp_path / "series")


def test_a_series_is_the_volume_that_others_made_of_it(series, shared_data):
    ours = read_volume(series)
    theirs = read_volume(shared_data / "Task09_SpleenMini/imagesTr/spleen_tsB.nii.gz")
    turn = Reorientation.between(ours.grid.orientation, theirs.grid.orientation)
    np.testing.assert_array_equal(turn.apply(ours.array), theirs.array)
    np.testing.assert_allclose(turn.apply_to_grid(ours.grid).affine, theirs.affine, atol=1e-3)
    assert ours.array.dtype == np.int16


def test_other_files_beside_the_slices_do_not_matter(copy, series):
    (copy / "README.txt").write_text("exported")
    np.testing.assert_array_equal(read_series(copy).array, read_series(series).array)


def test_a_missing_slice_is_told(copy):
    sorted(copy.glob("*.dcm"))[7].unlink()
    with pytest.raises(SeglineError, match=r"to the next are 4\.0 mm, elsewhere 2\.0 mm; slices are missing"):
        read_series(copy)


def test_a_folder_without_a_series_is_told(tmp_path):
    with pytest.raises(SeglineError, match="no DICOM series in it; give a folder"):
        read_volume(tmp_path)


def test_two_series_in_a_folder_are_told(copy):
    slice_alone = SimpleITK.GetImageFromArray(np.zeros((8, 8), np.int16))
    SimpleITK.WriteImage(slice_alone, copy / "another.dcm")
    with pytest.raises(SeglineError, match=r"2 DICOM series in it \(CT of \d+, .* of 1\)"):
        read_series(copy)


def test_a_cut_off_slice_is_told_in_one_line(copy):
    path = sorted(copy.glob("*.dcm"))[3]
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(SeglineError, match=f"{path}: .*export") as refused:
        read_series(copy)
    assert "\n" not in str(refused.value)
