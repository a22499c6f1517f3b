"""What a header means is decided by what is consistent in it, and what is written is read alike by all."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from segline.common.errors import SeglineError
from segline.imaging.files import read_to_learn, read_volume, write_volume

from .headers import ARRAY, itk_affine, placed, write_nifti

SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)

ACDC = {"qform": placed((1.3158, 1.3158, 10)), "sform": placed((1, 1, 1)), "spacing": (1.3158, 1.3158, 10)}
"""An sform of unit steps beside a qform and pixdim that know the spacing."""
SHEARED = placed() @ np.array([[1, 0.02, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def mask_of(path: Path) -> Path:
    """A mask of the volume in a file, as a model would answer."""
    volume = read_volume(path)
    mask = path.with_name(f"mask_of_{path.name}.nii.gz")
    write_volume(mask, volume.with_array((volume.array > 100).astype(np.uint8)))
    return mask


class TestWhereVoxelsLie:
    def test_an_sform_of_unit_steps_gives_way_to_what_qform_and_pixdim_agree_on(self, tmp_path):
        path = write_nifti(tmp_path / "acdc.nii", **ACDC)
        volume = read_volume(path)
        np.testing.assert_allclose(volume.grid.spacing_mm, (1.3158, 1.3158, 10), rtol=1e-5)
        np.testing.assert_allclose(volume.affine, itk_affine(path), atol=1e-3)
        assert (
            "the sform has a spacing of 1x1x1 mm, qform and pixdim of 1.3158x1.3158x10 mm"
            in volume.remarks[0]
        )

    def test_such_a_file_may_be_learned_from(self, tmp_path):
        assert read_to_learn(write_nifti(tmp_path / "acdc.nii", **ACDC), "acdc.nii").grid.spacing_mm[2] == 10

    @pytest.mark.parametrize(
        ("unit", "in_mm"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (2 + 8, 1), (3 + 16, 0.001)]
    )
    @pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1), (0, 0)])
    def test_units_are_told_and_meant(self, tmp_path, unit, in_mm, codes):
        there = placed()
        there[:3] /= in_mm
        path = write_nifti(tmp_path / "a.nii", qform=there, sform=there, codes=codes, xyzt_units=unit)
        volume = read_volume(path)
        np.testing.assert_allclose(volume.grid.spacing_mm, (1.5, 2, 3), rtol=1e-5)
        np.testing.assert_allclose(volume.affine, itk_affine(path), atol=1e-3)
        np.testing.assert_allclose(itk_affine(mask_of(path)), itk_affine(path), atol=1e-6)

    def test_without_any_form_it_lies_as_itk_reads_it_and_says_so(self, tmp_path):
        path = write_nifti(tmp_path / "a.nii", qform=placed(), codes=(0, 0))
        volume = read_volume(path)
        np.testing.assert_allclose(volume.affine, itk_affine(path), atol=1e-6)
        assert "no orientation" in volume.remarks[0]

    @pytest.mark.parametrize("excess", [5e-7, 1e-5])
    def test_a_quaternion_longer_than_1_by_rounding(self, tmp_path, excess):
        path = write_nifti(
            tmp_path / "a.nii", qform=placed(degrees=(180, 0, 0)), codes=(1, 0), quatern_b=1 + excess
        )
        np.testing.assert_allclose(read_volume(path).affine, itk_affine(path), atol=1e-3)

    def test_voxels_from_byte_0_are_those_after_the_header(self, tmp_path):
        path = write_nifti(tmp_path / "a.nii", sform=placed(), vox_offset=0)
        np.testing.assert_array_equal(read_volume(path).array[0], ARRAY)

    def test_an_sform_and_a_qform_that_agree_by_rounding_are_no_contradiction(self, tmp_path):
        path = write_nifti(tmp_path / "a.nii", qform=placed(), sform=placed(origin=(5.05, -6, 7)))
        assert not read_to_learn(path, "a.nii").remarks


class TestContradictions:
    @pytest.mark.parametrize("spacing", [(1, 1, 1), (1.5, 2, 2.9)])
    def test_an_sform_that_only_pixdim_contradicts_is_refused(self, tmp_path, spacing):
        path = write_nifti(tmp_path / "a.nii", sform=placed(), codes=(0, 1), spacing=spacing)
        with pytest.raises(SeglineError, match=r"the sform has a spacing of 1\.5x2x3 mm, pixdim of 1"):
            read_volume(path)

    def test_forms_that_turn_the_patient_differently_are_refused(self, tmp_path):
        path = write_nifti(tmp_path / "a.nii", qform=placed(), sform=placed(degrees=(0, 0, 180)))
        with pytest.raises(SeglineError, match="the axes run to RAS by the qform and to LPS by the sform"):
            read_volume(path)

    @pytest.mark.parametrize(
        ("sform", "apart"),
        [(placed(origin=(50, -6, 7)), r"45\.00"), (SHEARED, r"0\.57")],
        ids=["moved", "sheared"],
    )
    def test_forms_that_lie_apart_are_no_ground_to_learn_on(self, tmp_path, sform, apart):
        path = write_nifti(tmp_path / "a.nii", qform=placed(), sform=sform)
        with pytest.raises(SeglineError, match=rf"^a\.nii: qform and sform put .* {apart} mm apart"):
            read_to_learn(path, "a.nii")
        assert "mm apart" in read_volume(path).remarks[0]

    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({"spacing": (0, 2, 3)}, "pixdim gives the spacing 0x2x3"),
            ({"spacing": (1.5, np.nan, 3)}, "pixdim gives the spacing 1.5xnanx3"),
            ({"spacing": (-1.5, 2, 3)}, "pixdim gives the spacing -1.5x2x3"),
            ({"spacing": (np.inf, 2, 3)}, "pixdim gives the spacing infx2x3"),
            ({"srow_y": np.nan}, "the sform places no volume in space"),
            ({"srow_y": 0}, "the sform places no volume in space"),
            ({"quatern_b": 1.1, "codes": (1, 0)}, "quaternion of length 1.1"),
            ({"qoffset_x": np.inf, "codes": (1, 0)}, "the qform"),
            ({"vox_offset": np.inf}, "begin at byte inf"),
            ({"vox_offset": 100}, "begin at byte 100, inside its header"),
            ({"vox_offset": -352}, "begin at byte -352"),
            ({"datatype": 3}, "not a readable NIfTI file"),
            ({"scl_slope": 2, "scl_inter": np.nan}, "not a readable NIfTI file"),
            ({"dim": [3, -24, 20, 16, 1, 1, 1, 1]}, "its shape is"),
            ({"dim": [9, 24, 20, 16, 1, 1, 1, 1]}, "not a readable NIfTI file"),
            ({"dim": [0, 24, 20, 16, 1, 1, 1, 1]}, "its shape is"),
            ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "would take 5.4e+04 GB, more than the 4 GB"),
        ],
    )
    def test_a_header_that_means_nothing_is_one_line(self, tmp_path, fields, told):
        path = write_nifti(tmp_path / "a.nii", qform=placed(), sform=placed(), **fields)
        with pytest.raises(SeglineError, match=r"^[^\n]*$") as refused:
            read_volume(path)
        assert told in str(refused.value)


MASKS: dict[str, dict[str, Any]] = {
    "both forms": {"qform": placed(), "sform": placed()},
    "qform alone": {"qform": placed(degrees=(10, 20, 30)), "codes": (1, 0)},
    "sform alone": {"sform": placed(degrees=(10, 20, 30)), "codes": (0, 1)},
    "no form": {"qform": placed(), "codes": (0, 0)},
    "a slightly sheared sform": {"qform": placed(), "sform": SHEARED},
    "forms apart": {"qform": placed(), "sform": placed(origin=(50, -6, 7))},
    "forms apart, scanner and standard space": {
        "qform": placed(),
        "sform": placed(origin=(50, -6, 7)),
        "codes": (1, 4),
    },
    "forms apart, both aligned": {"qform": placed(), "sform": placed(origin=(50, -6, 7)), "codes": (2, 2)},
    "unit steps": ACDC,
    "left-handed": {"qform": placed((-1.5, 2, 3)), "sform": placed((-1.5, 2, 3))},
    "big-endian": {"qform": placed(), "sform": placed(), "endianness": ">", "array": ARRAY.astype(">i2")},
    "a quaternion too long": {"qform": placed(degrees=(180, 0, 0)), "codes": (1, 0), "quatern_b": 1 + 5e-7},
}


@pytest.mark.parametrize("fields", MASKS.values(), ids=MASKS.keys())
class TestWhatIsWritten:
    def test_itk_opens_the_mask_where_it_opens_the_image(self, tmp_path, fields):
        path = write_nifti(tmp_path / "a.nii", **fields)
        image, mask = (SimpleITK.ReadImage(str(file)) for file in (path, mask_of(path)))
        assert mask.GetSize() == image.GetSize()
        for part in ("Origin", "Spacing", "Direction"):
            assert getattr(mask, f"Get{part}")() == getattr(image, f"Get{part}")(), part

    def test_what_places_it_is_carried_on_field_by_field(self, tmp_path, fields):
        path = write_nifti(tmp_path / "a.nii", **fields, descrip=b"Jane Doe")
        image = nib.Nifti1Header(path.read_bytes()[:348], check=False)
        mask = nib.Nifti1Header.from_fileobj(nib.openers.Opener(mask_of(path)), check=False)
        assert mask.get_data_dtype() == np.uint8
        for field in ("qform_code", "sform_code", "qoffset_x", "srow_x", "srow_z", "quatern_b", "xyzt_units"):
            np.testing.assert_array_equal(mask[field], image[field], field)
        np.testing.assert_array_equal(mask["pixdim"][:4], image["pixdim"][:4])
        assert b"Jane" not in mask.binaryblock

    def test_it_is_read_back_on_the_same_grid(self, tmp_path, fields):
        path = write_nifti(tmp_path / "a.nii", **fields)
        assert read_volume(mask_of(path)).grid.distance_mm(read_volume(path).grid) == 0
