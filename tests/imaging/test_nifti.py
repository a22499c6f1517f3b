"""Volumes read from and written to NIfTI."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segline.common.errors import SeglineError
from segline.imaging.files import read_volume, write_volume
from segline.imaging.volume import Volume

AFFINE = np.array([[-0.8, 0, 0, 120], [0, 0, 1.5, -60], [0, -2.5, 0, 33], [0, 0, 0, 1]], dtype=np.float64)

SROW_X = slice(280, 296)
"""Where NIfTI-1 keeps the first row of the affine."""


def image_of(array: np.ndarray, affine: np.ndarray = AFFINE) -> nib.Nifti1Image:
    return nib.Nifti1Image(array, affine)


def file_of(path: Path, image: nib.Nifti1Image) -> Path:
    payload = image.to_bytes()
    path.write_bytes(gzip.compress(payload) if path.suffix == ".gz" else payload)
    return path


def numbered(shape: tuple[int, ...], dtype: type = np.int16) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


class TestReading:
    @pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
    def test_three_axes_are_one_channel(self, tmp_path, name):
        volume = read_volume(file_of(tmp_path / name, image_of(numbered((3, 4, 5)))))
        np.testing.assert_array_equal(volume.array, numbered((3, 4, 5))[None])
        np.testing.assert_allclose(volume.affine, AFFINE)

    def test_the_fourth_axis_is_channels_and_comes_first(self, tmp_path):
        volume = read_volume(file_of(tmp_path / "mr.nii.gz", image_of(numbered((3, 4, 5, 2)))))
        assert volume.array.shape == (2, 3, 4, 5)
        np.testing.assert_array_equal(volume.array[1], numbered((3, 4, 5, 2))[..., 1])

    def test_the_grid_leaves_channels_out(self, tmp_path):
        grid = read_volume(file_of(tmp_path / "mr.nii.gz", image_of(numbered((3, 4, 5, 2))))).grid
        assert grid.shape == (3, 4, 5)
        assert grid.spacing_mm == (0.8, 2.5, 1.5)
        assert grid.orientation == "LIA"

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
    def test_integers_keep_their_type(self, tmp_path, dtype):
        assert (
            read_volume(file_of(tmp_path / "a.nii", image_of(numbered((3, 4, 5), dtype)))).array.dtype
            == dtype
        )

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_reals_become_float32(self, tmp_path, dtype):
        volume = read_volume(file_of(tmp_path / "a.nii", image_of(numbered((3, 4, 5), dtype))))
        assert volume.array.dtype == np.float32

    def test_a_scale_factor_is_applied(self, tmp_path):
        image = image_of(numbered((3, 4, 5)))
        image.header.set_slope_inter(2, -1024)
        volume = read_volume(file_of(tmp_path / "ct.nii", image))
        assert volume.array.dtype == np.float32
        assert volume.array[0, 2, 3, 4] == 59 * 2 - 1024

    def test_foreign_byte_order_becomes_native(self, tmp_path):
        header = nib.Nifti1Header(endianness=">")
        header.set_data_dtype(np.int16)
        path = file_of(tmp_path / "a.nii", nib.Nifti1Image(numbered((3, 4, 5)).astype(">i2"), AFFINE, header))
        assert path.read_bytes()[:4] == b"\x00\x00\x01\x5c"
        volume = read_volume(path)
        assert volume.array.dtype.isnative
        np.testing.assert_array_equal(volume.array[0], numbered((3, 4, 5)))

    def test_gzip_is_known_by_its_content_not_its_name(self, tmp_path):
        file_of(tmp_path / "a.nii.gz", image_of(numbered((3, 4, 5)))).rename(tmp_path / "a.nii")
        assert read_volume(tmp_path / "a.nii").grid.shape == (3, 4, 5)


class TestWhatCannotBeRead:
    def test_a_missing_file(self, tmp_path):
        with pytest.raises(SeglineError, match=r"gone\.nii\.gz: no such file"):
            read_volume(tmp_path / "gone.nii.gz")

    def test_the_error_uses_the_name_given_and_hides_the_path(self, tmp_path):
        with pytest.raises(SeglineError) as caught:
            read_volume(tmp_path / "gone.nii.gz", name="imagesTr/spleen_8.nii.gz")
        assert str(caught.value) == "imagesTr/spleen_8.nii.gz: no such file"

    @pytest.mark.parametrize("kept", [3, 12, 60, -9, -1])
    def test_a_truncated_gzip(self, tmp_path, kept):
        path = file_of(tmp_path / "ct.nii.gz", image_of(numbered((3, 4, 5))))
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(SeglineError, match="truncated or damaged gzip"):
            read_volume(path)

    def test_a_gzip_with_a_flipped_bit(self, tmp_path):
        path = file_of(tmp_path / "ct.nii.gz", image_of(numbered((3, 4, 5))))
        payload = bytearray(path.read_bytes())
        payload[-20] ^= 0x10
        path.write_bytes(payload)
        with pytest.raises(SeglineError, match="truncated or damaged gzip"):
            read_volume(path)

    @pytest.mark.parametrize("kept", [0, 3, 200, 351, -1])
    def test_a_truncated_plain_file(self, tmp_path, kept):
        path = file_of(tmp_path / "ct.nii", image_of(numbered((3, 4, 5))))
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(SeglineError, match="not a readable NIfTI file"):
            read_volume(path)

    @pytest.mark.parametrize("payload", [b"<html>not found</html>" * 50, bytes(1000), b"II*\0" * 400])
    def test_a_file_of_another_kind(self, tmp_path, payload):
        path = tmp_path / "page.nii"
        path.write_bytes(payload)
        with pytest.raises(SeglineError, match="not a readable NIfTI file"):
            read_volume(path)

    @pytest.mark.parametrize("shape", [(1, 6, 7), (6, 1, 7), (3, 4, 5, 1, 2)])
    def test_not_three_spatial_axes(self, tmp_path, shape):
        with pytest.raises(SeglineError, match=f"this file is {'x'.join(map(str, shape))}"):
            read_volume(file_of(tmp_path / "flat.nii", image_of(numbered(shape))))

    @pytest.mark.parametrize(
        "dtype", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])], ids=["complex", "rgb"]
    )
    def test_voxels_that_are_not_one_real_number(self, tmp_path, dtype):
        with pytest.raises(SeglineError, match="one real number a voxel"):
            read_volume(file_of(tmp_path / "rgb.nii", image_of(np.zeros((3, 4, 5), dtype))))

    @pytest.mark.parametrize("value", [0, np.nan])
    def test_an_affine_that_is_not_invertible(self, tmp_path, value):
        path = file_of(tmp_path / "lost.nii", image_of(numbered((3, 4, 5))))
        payload = bytearray(path.read_bytes())
        payload[SROW_X] = np.full(4, value, "<f4").tobytes()
        path.write_bytes(payload)
        with pytest.raises(SeglineError, match="sform or qform"):
            read_volume(path)


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1)])
def test_one_slice_is_read_as_such(tmp_path, shape):
    volume = read_volume(file_of(tmp_path / "slice.nii", image_of(numbered(shape))))
    np.testing.assert_array_equal(volume.array[0, ..., 0], numbered(shape).reshape(6, 7))


class TestWriting:
    @pytest.mark.parametrize("name", ["seg.nii", "seg.nii.gz"])
    @pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 3, 4, 5)])
    @pytest.mark.parametrize("dtype", [np.uint8, np.float32])
    def test_what_is_written_is_read_back(self, tmp_path, name, shape, dtype):
        written = Volume(numbered(shape, dtype), AFFINE)
        write_volume(tmp_path / name, written)
        found = read_volume(tmp_path / name)
        np.testing.assert_array_equal(found.array, written.array)
        assert found.array.dtype == dtype
        assert found.grid.matches(written.grid)

    def test_the_same_volume_gives_the_same_bytes(self, tmp_path):
        for name in ("a.nii.gz", "b.nii.gz"):
            write_volume(tmp_path / name, Volume(numbered((1, 3, 4, 5)), AFFINE))
        assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()

    def test_reading_and_writing_again_gives_the_same_bytes(self, tmp_path):
        write_volume(tmp_path / "a.nii.gz", Volume(numbered((1, 3, 4, 5)), AFFINE))
        write_volume(tmp_path / "b.nii.gz", read_volume(tmp_path / "a.nii.gz"))
        assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()

    def test_memory_order_does_not_change_the_bytes(self, tmp_path):
        array = numbered((1, 3, 4, 5))
        write_volume(tmp_path / "a.nii", Volume(array, AFFINE))
        write_volume(tmp_path / "b.nii", Volume(np.asfortranarray(array), AFFINE))
        assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()

    def test_units_are_millimetres(self, tmp_path):
        write_volume(tmp_path / "a.nii.gz", Volume(numbered((1, 3, 4, 5)), AFFINE))
        assert nib.load(tmp_path / "a.nii.gz").header.get_xyzt_units()[0] == "mm"

    def test_missing_folders_are_made(self, tmp_path):
        write_volume(tmp_path / "new" / "folder" / "a.nii.gz", Volume(numbered((1, 3, 4, 5)), AFFINE))
        assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["a.nii.gz"]

    def test_a_type_that_nifti_lacks_leaves_no_file(self, tmp_path):
        with pytest.raises(Exception, match="float16"):
            write_volume(tmp_path / "a.nii.gz", Volume(np.zeros((1, 3, 4, 5), np.float16), AFFINE))
        assert list(tmp_path.iterdir()) == []


def test_real_volumes_of_every_orientation_survive_a_round_trip(shared_data: Path, tmp_path):
    images = sorted((shared_data / "Task09_SpleenMini").glob("images*/*.nii.gz"))
    if not images:
        pytest.skip(f"no volumes under {shared_data}/Task09_SpleenMini")
    smallest = sorted(images, key=lambda path: path.stat().st_size)[:2]
    for path in smallest:
        volume = read_volume(path)
        write_volume(tmp_path / path.name, volume)
        found = read_volume(tmp_path / path.name)
        np.testing.assert_array_equal(found.array, volume.array)
        assert found.grid.matches(volume.grid)
