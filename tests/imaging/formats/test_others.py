"""Formats besides NIfTI are read to the same place, or named."""

import gzip
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from segline.common.errors import SeglineError
from segline.imaging.files import read_to_learn, read_volume, write_volume
from segline.imaging.volume import Volume

from ..headers import ARRAY, placed, write_nifti

AFFINE = placed(degrees=(10, 20, 30))


def itk_image(array: np.ndarray = ARRAY) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(array.T)
    lps = np.diag([-1, -1, 1, 1]) @ AFFINE
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


@pytest.mark.parametrize("suffix", ["nrrd", "mha", "mhd", "nhdr", "nii", "nii.gz"])
@pytest.mark.parametrize("compressed", [True, False])
def test_what_itk_writes_is_read(tmp_path, suffix, compressed):
    path = tmp_path / f"a.{suffix}"
    SimpleITK.WriteImage(itk_image(), str(path), compressed)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array[0], ARRAY)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)
    assert volume.array.dtype == np.int16


@pytest.mark.parametrize("suffix", ["mgz", "mgh"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.int32])
def test_freesurfers_format(tmp_path, suffix, dtype):
    nib.save(nib.MGHImage(ARRAY.astype(dtype), AFFINE), tmp_path / f"a.{suffix}")
    volume = read_volume(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(volume.array[0], ARRAY.astype(dtype))
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize("version", [nib.Nifti1Image, nib.Nifti2Image])
def test_both_versions_of_nifti(tmp_path, version):
    nib.save(version(ARRAY, AFFINE), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").array[0], ARRAY)


@pytest.mark.parametrize("given", ["a.hdr", "a.img"])
@pytest.mark.parametrize("gz", ["", ".gz"])
def test_a_pair_by_either_name(tmp_path, given, gz):
    nib.save(nib.Nifti1Pair(ARRAY, AFFINE), tmp_path / f"a.img{gz}")
    volume = read_volume(tmp_path / (given + gz))
    np.testing.assert_array_equal(volume.array[0], ARRAY)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize(("kept", "missing"), [("a.hdr", ".img"), ("a.img", ".hdr")])
def test_half_a_pair(tmp_path, kept, missing):
    nib.save(nib.Nifti1Pair(ARRAY, AFFINE), tmp_path / "a.img")
    (tmp_path / f"a{missing}").unlink()
    with pytest.raises(SeglineError, match=f"{kept}: the {missing} file that belongs to it is missing"):
        read_volume(tmp_path / kept)


def test_gzipped_twice(tmp_path):
    path = write_nifti(tmp_path / "a.nii", sform=placed())
    path.write_bytes(gzip.compress(gzip.compress(path.read_bytes())))
    np.testing.assert_array_equal(read_volume(path).array[0], ARRAY)


def test_gzipped_in_blocks(tmp_path):
    path = write_nifti(tmp_path / "a.nii", sform=placed())
    raw = path.read_bytes()
    path.write_bytes(b"".join(gzip.compress(raw[at : at + 500]) for at in range(0, len(raw), 500)))
    np.testing.assert_array_equal(read_volume(path).array[0], ARRAY)


def test_components_are_channels(tmp_path):
    two = np.stack([ARRAY, ARRAY + 1], axis=-1)
    image = SimpleITK.GetImageFromArray(two.transpose(2, 1, 0, 3), isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nrrd").array, np.moveaxis(two, -1, 0))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_what_is_written_as_nrrd_is_read_back(tmp_path, channels, dtype):
    volume = Volume(np.stack([ARRAY + n for n in range(channels)]).astype(dtype), AFFINE)
    write_volume(tmp_path / "a.nrrd", volume)
    found = read_volume(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(found.array, volume.array)
    assert found.array.dtype == dtype
    assert found.grid.distance_mm(volume.grid) < 1e-9


def test_a_name_that_no_file_can_have(tmp_path):
    with pytest.raises(SeglineError, match="cannot be read"):
        read_volume(tmp_path / ("a" * 300))


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5"),
        (b"PK\x03\x04" + bytes(600), "ZIP"),
        (b"\x93NUMPY" + bytes(600), "NumPy"),
        (b"<html>" + bytes(600), "HTML"),
        (b"# vtk DataFile" + bytes(600), "VTK"),
        (b"NRRD0005\ntype: short\n", "cannot be read"),
        (b"ObjectType = Image\nNDims = 3\n", "cannot be read"),
        (b"\0\0\0\1" + bytes(600), "not a readable"),
        (bytes(127) + b"\0DICM" + bytes(100), "no readable DICOM"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii", "a.mgz"])
def test_what_is_not_read_is_named_in_one_line(tmp_path, payload, told, name):
    (tmp_path / name).write_bytes(payload)
    with pytest.raises(SeglineError, match=r"^[^\n]*$") as refused:
        read_volume(tmp_path / name)
    assert told in str(refused.value)


def test_an_analyze_file_is_named(tmp_path):
    nib.save(nib.AnalyzeImage(ARRAY, np.eye(4)), tmp_path / "a.img")
    for name in ("a.img", "a.hdr"):
        with pytest.raises(SeglineError, match=r"an Analyze 7\.5 file, which does not say"):
            read_volume(tmp_path / name)


@pytest.mark.parametrize("suffix", ["img", "mhd", "nhdr"])
def test_a_data_set_has_one_file_a_volume(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "img":
        nib.save(nib.Nifti1Pair(ARRAY, AFFINE), path)
        path = path.with_suffix(".hdr")
    else:
        SimpleITK.WriteImage(itk_image(), str(path))
    with pytest.raises(SeglineError, match=f"^{path.name}: its voxels are in another file"):
        read_to_learn(path, path.name)


class TestBombs:
    """Memory is not taken for what a header or a stream of zeros promises."""

    def refusal(self, path: Path) -> str:
        tracemalloc.start()
        try:
            with pytest.raises(SeglineError) as refused:
                read_volume(path)
            assert tracemalloc.get_traced_memory()[1] < 100e6
        finally:
            tracemalloc.stop()
        return str(refused.value)

    def test_a_gzip_of_more_than_its_header_says(self, tmp_path):
        path = write_nifti(tmp_path / "a.nii", sform=placed())
        path.write_bytes(gzip.compress(path.read_bytes() + bytes(200_000_000), 1))
        assert path.stat().st_size < 10**6
        assert "unpacks to more than the 15712 bytes that its header tells of" in self.refusal(path)

    @pytest.mark.parametrize("suffix", ["nii.gz", "mgz", "nrrd", "mha"])
    def test_a_header_of_30000_voxels_a_side(self, tmp_path, suffix):
        path = tmp_path / f"a.{suffix}"
        raw = b""
        if suffix == "nii.gz":
            write_nifti(path, sform=placed(), dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
            raw = gzip.compress(path.read_bytes())
        elif suffix == "mgz":
            raw = b"".join(n.to_bytes(4, "big") for n in (1, 30000, 30000, 30000, 1, 3)) + bytes(300)
            raw = gzip.compress(raw)
        elif suffix == "nrrd":
            raw = b"NRRD0005\ntype: short\nendian: little\ndimension: 3\nsizes: 30000 30000 30000\n"
            raw += b"encoding: gzip\n\nx"
        else:
            raw = b"ObjectType = Image\nNDims = 3\nDimSize = 30000 30000 30000\nElementType = MET_SHORT\n"
            raw += b"ElementDataFile = LOCAL\nx"
        path.write_bytes(raw)
        assert (
            "more than the 4 GB that are allowed; if that is meant, set SEGLINE_LARGEST_GB"
            in self.refusal(path)
        )

    def test_a_gzip_of_a_gzip_of_zeros(self, tmp_path):
        inner = gzip.compress(bytes(100_000_000), 1)
        (tmp_path / "a.nii.gz").write_bytes(gzip.compress(gzip.compress(inner)))
        assert "not a readable NIfTI file" in self.refusal(tmp_path / "a.nii.gz")


def test_how_much_is_allowed_can_be_said(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "a.nii", sform=placed())
    monkeypatch.setenv("SEGLINE_LARGEST_GB", "0.00001")
    with pytest.raises(SeglineError, match=r"would take 1\.536e-05 GB, more than the 1e-05 GB"):
        read_volume(path)
    monkeypatch.setenv("SEGLINE_LARGEST_GB", "much")
    with pytest.raises(SeglineError, match="SEGLINE_LARGEST_GB is 'much'; give a number of GB above 0"):
        read_volume(path)
