"""``segline predict`` on files as people have them: in place, or refused in one line."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from segline.cli.main import main
from segline.data.manifest import Manifest
from segline.imaging.files import write_volume
from segline.model.package import Model

from ..imaging.dicom.written import write_series
from ..imaging.headers import itk_affine, placed, write_nifti

SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)

CODES = [(1, 1), (1, 0), (0, 1), (2, 1), (1, 4), (2, 2), (0, 0), (0, 2)]
DTYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8"]


def farthest_mm(a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> float:
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in shape], [1])).reshape(4, -1)
    return float(np.linalg.norm(((a - b) @ corners)[:3], axis=0).max())


class RandomHeader:
    """A volume that lies somewhere, in a file that says so in one of the many ways."""

    def __init__(self, seed: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.codes = CODES[seed % len(CODES)]
        spacing = self.chance.uniform(0.5, 6, 3)
        self.truth = np.eye(4)
        rotation = Rotation.random(random_state=seed).as_matrix()
        self.truth[:3, :3] = rotation * spacing * self.chance.choice([-1, 1], 3)
        self.truth[:3, 3] = self.chance.uniform(-300, 300, 3)
        if self.codes == (0, 0):  # nothing is said; this is what ITK takes
            self.truth = np.diag([-spacing[0], -spacing[1], spacing[2], 1])
        self.shape = tuple(int(size) for size in self.chance.integers(8, 24, 3))

    def write(self, path: Path) -> Path:
        unit, scale = [(0, 1), (2, 1), (1, 1e-3), (3, 1e3)][int(self.chance.integers(4))]
        there = self.truth.copy()
        there[:3] *= scale
        sform = there.copy()
        fields: dict[str, Any] = {"xyzt_units": unit + int(self.chance.choice([0, 8, 16]))}
        fault = self.chance.choice(
            ["none", "none", "none", "shifted", "turned", "scaled", "sheared", "pixdim"]
        )
        if fault == "shifted":
            sform[0, 3] += 40 * scale
        elif fault == "turned":
            sform[:3, :2] *= -1
        elif fault == "scaled":
            sform[:3, :3] /= np.linalg.norm(sform[:3, :3], axis=0)
        elif fault == "sheared":
            sform[:3, 0] += 0.01 * sform[:3, 1]
        elif fault == "pixdim":
            fields["spacing"] = (0, 1, 1)
        if fault in ("shifted", "turned") and self.codes[0] == 0 and self.codes[1]:
            self.truth = np.vstack([sform[:3] / scale, sform[3]])  # nothing else says where it is
        order = str(self.chance.choice(["<", ">"]))
        array = self.chance.integers(0, 100, self.shape).astype(order + str(self.chance.choice(DTYPES)))
        if self.chance.random() < 0.3:
            fields.update(scl_slope=2.5, scl_inter=-30)
        return write_nifti(
            path, qform=there, sform=sform, codes=self.codes, array=array, endianness=order, **fields
        )


@pytest.mark.parametrize("seed", range(56))
def test_a_mask_is_in_place_or_refused_whatever_the_header(
    seed: int, tiny_model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = RandomHeader(seed)
    path, mask = header.write(tmp_path / "image.nii"), tmp_path / "mask.nii.gz"
    if main(["predict", str(tiny_model.folder), str(path), "-o", str(mask), "--json"]):
        told = capsys.readouterr().err
        assert told.startswith(f"segline predict: {path}: ") and told.count("\n") == 1
        assert not mask.exists()
        return
    remarks = json.loads(capsys.readouterr().out)["remarks"]
    assert nib.load(mask).shape == header.shape
    try:
        theirs = itk_affine(path)
    except RuntimeError:  # a sheared sform alone, which ITK opens neither as image nor as mask
        assert farthest_mm(nib.load(mask).affine, header.truth, header.shape) < 1 + 0.02 * 6 * 24
        return
    assert farthest_mm(itk_affine(mask), theirs, header.shape) < 1e-4
    if farthest_mm(theirs, header.truth, header.shape) > 0.1:
        assert any("mm apart" in remark for remark in remarks), "silently elsewhere"
    if header.codes == (0, 0):
        assert any("no orientation" in remark for remark in remarks)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_number_are_told_as_such(
    value: float, tiny_model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array = np.zeros((24, 20, 16), np.float32)
    array[3, 4, :5] = value
    path = write_nifti(tmp_path / "a.nii", sform=placed(), qform=placed(), array=array)
    assert main(["predict", str(tiny_model.folder), str(path), "-o", str(tmp_path / "m.nii.gz")]) == 2
    assert f"{path}: 5 voxels are NaN or infinite; replace them" in capsys.readouterr().err
    assert not (tmp_path / "m.nii.gz").exists()


@pytest.mark.parametrize(
    ("slope", "offset", "told"),
    [
        (1, 1024, "none at or below -500"),
        (1 / 4096, 0, "they seem to be scaled"),
        (1, 20_000, "all outside the model's"),
        (0, 7, "every voxel is 7"),
    ],
)
def test_intensities_that_the_model_was_not_made_for_are_told(
    slope: float,
    offset: float,
    told: str,
    tiny_model: Model,
    phantoms: Manifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = phantoms.image(phantoms.cases[0])
    path, mask = tmp_path / "ct.nii.gz", tmp_path / "mask.nii.gz"
    command = ["predict", str(tiny_model.folder), str(path), "-o", str(mask)]
    write_volume(path, image)
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["remarks"] == []
    write_volume(path, image.with_array((slope * image.array + offset).astype(np.float32)))
    assert main([*command, "--json"]) == 0
    assert told in json.loads(capsys.readouterr().out)["remarks"][0]
    assert main(command) == 0
    assert told in capsys.readouterr().err


def test_a_tilted_series_is_told_and_its_mask_is_on_its_grid(
    tiny_model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plane = [1, 0, 0, 0, float(np.cos(0.3)), float(np.sin(0.3))]
    write_series(tmp_path / "ct", np.zeros((9, 10, 12), np.int16), ImageOrientationPatient=plane)
    mask = tmp_path / "mask.nii.gz"
    assert main(["predict", str(tiny_model.folder), str(tmp_path / "ct"), "-o", str(mask)]) == 0
    assert "the gantry was tilted by 17.2 degrees" in capsys.readouterr().err
    steps = nib.load(mask).affine[:3, :3]
    np.testing.assert_allclose(steps[:, 1], [0, -2 * np.cos(0.3), 2 * np.sin(0.3)], atol=1e-5)
    np.testing.assert_allclose(steps[:, 2], [0, 0, 5], atol=1e-5)


def test_a_volume_that_would_fill_the_memory_on_the_models_grid_is_refused(
    tiny_model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array = np.zeros((16, 16, 16), np.int16)
    array[0] = 1  # nothing to crop away
    path = write_nifti(
        tmp_path / "a.nii", sform=placed((7e3, 7e3, 7e3)), qform=placed((7e3, 7e3, 7e3)), array=array
    )
    assert main(["predict", str(tiny_model.folder), str(path), "-o", str(tmp_path / "m.nii.gz")]) == 2
    assert "16x16x16 voxels of 7000x7000x7000 mm at the plan's 8x8x8 mm would take" in capsys.readouterr().err
