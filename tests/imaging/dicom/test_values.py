"""The numbers of a series mean the same in every slice, whatever each file's type and factors."""

import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segline.common.errors import SeglineError
from segline.imaging.dicom.series import read_series
from segline.imaging.files import read_volume

from .written import numbered, write_enhanced, write_series, write_slice


def test_each_slice_has_its_own_slope(tmp_path):
    stored = np.full((3, 6, 8), 3, np.int16)
    for number, image in enumerate(stored):
        write_slice(tmp_path, image, (0, 0, 5 * number), number, RescaleSlope=[1, 1.3, 150_000][number])
    values = read_series(tmp_path).array
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[0, 0, 0], [3, 3.9, 450_000], rtol=1e-6)


def test_each_slice_has_its_own_type(tmp_path):
    kinds = (np.int16, np.uint16, np.int16)
    for number, kind in enumerate(kinds):
        image = np.full((6, 8), [-5, 60_000, 7][number]).astype(kind)
        write_slice(tmp_path, image, (0, 0, 5 * number), number)
    np.testing.assert_array_equal(read_series(tmp_path).array[0, 0, 0], [-5, 60_000, 7])


def test_whole_numbers_stay_whole(tmp_path):
    write_series(tmp_path, numbered(4), RescaleIntercept=-1024)
    values = read_series(tmp_path).array
    assert values.dtype == np.int16
    np.testing.assert_array_equal(values[0], numbered(4).transpose(2, 1, 0) - 1024)


@pytest.mark.parametrize("bits", [12, 16])
def test_a_ct_that_is_shown_inverted_keeps_its_numbers(tmp_path, bits):
    stored = np.linspace(924, 1174, 4 * 48).astype(np.uint16).reshape(4, 6, 8)
    attributes = {"PhotometricInterpretation": "MONOCHROME1", "RescaleIntercept": -1024}
    write_series(tmp_path, stored, BitsStored=bits, HighBit=bits - 1, **attributes)
    values = read_series(tmp_path).array
    assert (values.min(), values.max()) == (-100, 150)


class TestManyFrames:
    def enhanced(self, folder: Path) -> Path:
        positions = [(-30, -30, 5 * number - 25) for number in range(7)]
        return write_enhanced(folder / "enhanced.dcm", numbered(7), positions, range(-1024, -1017))

    def test_they_are_slices_of_their_own_places_and_factors(self, tmp_path):
        volume = read_volume(self.enhanced(tmp_path))
        wanted = numbered(7) + np.arange(-1024, -1017)[:, None, None]
        np.testing.assert_array_equal(volume.array[0], wanted.transpose(2, 1, 0))
        assert volume.grid.spacing_mm == (1.5, 2.0, 5.0)
        np.testing.assert_allclose(volume.affine[:3, 3], [30, 30, -25])

    def test_a_folder_with_the_file_is_the_same(self, tmp_path):
        one = read_volume(self.enhanced(tmp_path))
        np.testing.assert_array_equal(read_series(tmp_path).array, one.array)

    def test_dcm2niix_puts_them_at_the_same_place(self, tmp_path):
        import dcm2niix

        self.enhanced(tmp_path)
        command = [dcm2niix.bin, "-f", "out", "-z", "n", "-o", str(tmp_path), str(tmp_path)]
        subprocess.run(command, check=True, capture_output=True)
        theirs = nib.load(tmp_path / "out.nii")
        ours = read_series(tmp_path)
        flipped = theirs.affine @ np.array([0, 5, 0, 1])  # dcm2niix turns the rows around
        np.testing.assert_allclose(flipped, ours.affine @ np.array([0, 0, 0, 1]), atol=1e-3)
        assert sorted(theirs.header.get_zooms()) == sorted(ours.grid.spacing_mm)

    def test_frames_without_places_are_told(self, tmp_path):
        path = self.enhanced(tmp_path)
        import pydicom

        image = pydicom.dcmread(path)
        del image.PerFrameFunctionalGroupsSequence
        image.save_as(path)
        with pytest.raises(SeglineError, match="7 frames that do not say where they lie"):
            read_volume(path)


class TestDamagedFiles:
    @pytest.mark.parametrize("kept", [0, 60, 140, 700, -5])
    @pytest.mark.parametrize("number", [0, 3, 6])
    def test_a_cut_slice_is_never_left_out(self, tmp_path, number, kept):
        write_series(tmp_path, numbered(7))
        path = tmp_path / f"IM_{number:04d}.dcm"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(SeglineError, match=f"{path.name}: "):
            read_series(tmp_path)

    def test_nor_one_without_an_ending(self, tmp_path):
        for path in write_series(tmp_path, numbered(7)).iterdir():
            path.rename(path.with_suffix(""))
        (tmp_path / "LICENCE").write_text("free")
        read_series(tmp_path)
        (tmp_path / "IM_0006").write_bytes(b"")
        with pytest.raises(SeglineError, match="IM_0006: no readable DICOM"):
            read_series(tmp_path)

    def test_a_single_file_of_a_series_asks_for_the_folder(self, tmp_path):
        write_series(tmp_path, numbered(7))
        with pytest.raises(SeglineError, match="a single slice; export the whole series"):
            read_volume(tmp_path / "IM_0000.dcm")

    def test_a_deflated_file_is_told_before_it_is_inflated(self, tmp_path):
        import pydicom

        path = write_series(tmp_path, numbered(2)) / "IM_0000.dcm"
        image = pydicom.dcmread(path)
        image.PixelData = bytes(20_000_000)
        image.save_as(path)
        image.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        image.save_as(path)
        assert path.stat().st_size < 10**6
        with pytest.raises(SeglineError, match="a deflated DICOM file"):
            read_series(tmp_path)
