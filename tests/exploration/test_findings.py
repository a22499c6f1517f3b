"""What looks wrong in a data set is found by name, and nothing is where nothing is planted."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segline.common.errors import SeglineError
from segline.exploration.checks.all_checks import look
from segline.exploration.checks.finding import Finding, robust_z

from .bodies import SHAPE, Body, facts_of, write_bodies

PLANTED = "body_003"


def found(root: Path) -> list[Finding]:
    return look(facts_of(root))


def turned(body: Body) -> None:
    body.image, body.label = body.image[::-1], body.label[::-1]
    body.affine = body.affine @ np.diag([-1, 1, 1, 1.0])
    body.affine[0, 3] = 2.0 * (SHAPE[0] - 1)


def in_metres(body: Body) -> None:
    body.affine[:3, :3] /= 1000


def in_micrometres(body: Body) -> None:
    body.affine[:3, :3] *= 1000


def offset(body: Body) -> None:
    body.image = body.image + np.int16(1024)


def scaled(body: Body) -> None:
    body.image = (body.image / 4096).astype(np.float32)


def unlabelled(body: Body) -> None:
    body.label[:] = 0


def without_kidney(body: Body) -> None:
    body.label[body.label == 2] = 0


def cut(body: Body) -> None:
    body.image, body.label = body.image[:, :, 8:], body.label[:, :, 8:]


def at_the_border(body: Body) -> None:
    body.label[15:22, 8:16, 13:] = 1


def touching(body: Body) -> None:
    body.label[10:15, 10:12, 8:10] = 2


def in_parts(body: Body) -> None:
    body.label[20, 18, 15] = 1


def constant(body: Body) -> None:
    body.image[:] = 7


def nearly_empty(body: Body) -> None:
    body.image[:] = -1000
    body.image[3, 3, :6] = np.arange(6) * 300


def thick(body: Body) -> None:
    body.affine[2, 2] = 9.0


def large(body: Body) -> None:
    body.label[8:24, 4:22, 12:18] = 1


FAULTS: list[tuple[Callable[[Body], None], str, str, str]] = [
    (turned, "remark", "Orientation", "LAS"),
    (in_metres, "wrong", "Spacing in another unit", "0.002 × 0.002 × 0.003 mm"),
    (in_micrometres, "wrong", "Spacing in another unit", "1000 times the median size"),
    (offset, "wrong", "Values with an offset", "no value is below"),
    (scaled, "wrong", "Values on another scale", "of the median range"),
    (unlabelled, "wrong", "Empty label map", "no voxel is labelled"),
    (without_kidney, "odd", "Missing label", "has no kidney, as 9 of 10 cases have"),
    (at_the_border, "odd", "Label at the volume's border", "liver reaches the volume's upper border"),
    (touching, "odd", "Labels that touch", "liver touches kidney"),
    (in_parts, "odd", "Label in parts", "liver has 2 parts"),
    (constant, "wrong", "Constant or nearly empty image", "every voxel is 7"),
    (nearly_empty, "wrong", "Constant or nearly empty image", "nearly every voxel is −1000"),
    (thick, "odd", "Outlying spacing", "spacing bottom to top is 9 mm, the median 3 mm"),
    (cut, "odd", "Outlying field of view", "field of view bottom to top is 36 mm, the median 60 mm"),
    (large, "odd", "Outlying volume", "liver fills"),
]


def test_a_clean_data_set_gives_none(tmp_path: Path) -> None:
    assert found(write_bodies(tmp_path)) == []


@pytest.mark.parametrize(("fault", "level", "check", "told"), FAULTS, ids=[one[0].__name__ for one in FAULTS])
def test_each_fault_is_found_by_name(
    fault: Callable[[Body], None], level: str, check: str, told: str, tmp_path: Path
) -> None:
    findings = found(write_bodies(tmp_path, fault))
    assert {finding.case for finding in findings} == {PLANTED}
    (one,) = [finding for finding in findings if finding.check == check]
    assert one.level == level
    assert told in f"{one.what} {one.number}"
    assert one.remedy


@pytest.mark.parametrize(
    "fault", [turned, in_metres, in_micrometres, offset, unlabelled, without_kidney, touching, in_parts]
)
def test_one_fault_is_told_once(fault: Callable[[Body], None], tmp_path: Path) -> None:
    assert len(found(write_bodies(tmp_path, fault))) == 1


def test_one_image_under_two_names_is_told(tmp_path: Path) -> None:
    root = write_bodies(tmp_path)
    shutil.copy(root / "imagesTr/body_001.nii.gz", root / "imagesTr/body_007.nii.gz")
    (one,) = found(root)
    assert (one.check, one.case) == ("One image under several names", "body_001")
    assert "body_007" in one.what


def test_a_case_that_cannot_be_read_is_told_and_the_others_are_looked_at(tmp_path: Path) -> None:
    root = write_bodies(tmp_path)
    path = root / "imagesTr/body_005.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:900]))
    (root / "labelsTr/body_006.nii.gz").unlink()
    facts = facts_of(root)
    told = {finding.case: finding for finding in look(facts)}
    assert {finding.level for finding in told.values()} == {"refused"}
    assert "imagesTr/body_005.nii.gz" in told["body_005"].what
    assert "labelsTr/body_006.nii.gz: no such file" in told["body_006"].what
    assert len(facts.cases) == 8


def test_where_no_case_can_be_read_there_is_one_line(tmp_path: Path) -> None:
    root = write_bodies(tmp_path)
    shutil.rmtree(root / "imagesTr")
    with pytest.raises(SeglineError, match=r"imagesTr/body_000.nii.gz: no such file.* \(9 more bad cases\)"):
        facts_of(root)


def test_forms_that_differ_are_told_with_what_was_decided(tmp_path: Path) -> None:
    import nibabel as nib

    root = write_bodies(tmp_path)
    for folder in ("imagesTr", "labelsTr"):
        image = nib.load(path := root / folder / "body_003.nii.gz")
        nearly = image.affine.copy()
        nearly[0, 3] += 0.05
        image.set_sform(nearly, 1)
        image.set_qform(image.affine, 1)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, image.header), path)
    remarks = facts_of(root).manifest.case(PLANTED).remarks
    assert {finding.what for finding in found(root)} == {*remarks}
    assert all(finding.level == "remark" for finding in found(root))


def test_a_label_that_no_case_has_is_told_of_the_data_set(tmp_path: Path) -> None:
    root = write_bodies(tmp_path, labels={"0": "background", "1": "liver", "2": "kidney", "3": "gall"})
    (one,) = found(root)
    assert (one.case, one.check) == (None, "Label in no case")
    assert "label 3, gall" in one.what


def test_what_many_cases_do_is_told_once(tmp_path: Path) -> None:
    (one,) = found(write_bodies(tmp_path, each=at_the_border))
    assert (one.case, one.level, one.number) == (None, "remark", "10 of 10 cases")
    assert "upper 10" in one.what


def test_a_ct_that_is_nowhere_stored_in_hu_is_told_of_the_data_set(tmp_path: Path) -> None:
    (one,) = found(write_bodies(tmp_path, each=offset))
    assert (one.case, one.check) == (None, "Values with an offset")


def test_scales_that_differ_without_a_unit_are_told_once(tmp_path: Path) -> None:
    def scaled_by_number(body: Body) -> None:
        factor = 4 ** int(body.name[-1])
        body.image = ((body.image + 1100.0) * factor).astype(np.float32)

    (one,) = found(write_bodies(tmp_path, each=scaled_by_number, modality={"0": "MRI"}))
    assert (one.case, one.level, one.check) == (None, "remark", "Scale of intensities")


def test_ignored_voxels_are_no_label(tmp_path: Path) -> None:
    def uncertain(body: Body) -> None:
        body.label[0, 0, 0] = 3

    labels = {"0": "background", "1": "liver", "2": "kidney", "3": "ignore"}
    assert found(write_bodies(tmp_path, uncertain, labels=labels)) == []


def test_the_robust_z_score_is_what_its_rule_says() -> None:
    values = {"a": 1.0, "b": np.e, "c": np.e**2, "d": np.e**3, "e": np.e**9}
    assert robust_z(values)["e"] == pytest.approx((9 - 2) / 1.4826)
    assert robust_z({"a": 1.0, "b": 50.0, "c": 1.0, "d": 1.0}) == {}
