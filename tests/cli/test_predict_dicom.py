"""``segline predict`` of a DICOM series into DICOM objects."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from segline.cli.main import main
from segline.data.manifest import Manifest
from segline.imaging.dicom.sources import Source
from segline.imaging.files import read_volume
from segline.model.package import Model

from ..imaging.dicom.read_back import read_back
from ..imaging.dicom.written import write_phantom_series

highdicom = pytest.importorskip("highdicom", reason="not installed; pip install 'segline[dicom]'")


@pytest.fixture(scope="module")
def series(phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom's CT as slices."""
    return write_phantom_series(tmp_path_factory.mktemp("ct") / "series", phantoms.image(phantoms.cases[0]))


def predict(model: Model, *arguments: object) -> int:
    return main(["predict", str(model.folder), *map(str, arguments)])


def test_the_segmentation_overlays_the_nifti_mask(
    tiny_model: Model, series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tiny_model, series, "-o", tmp_path / "mask.nii.gz") == 0
    told = capsys.readouterr().out
    assert predict(tiny_model, series, "-o", tmp_path / "mask.dcm", "--sr", tmp_path / "report.dcm") == 0
    assert capsys.readouterr().out == told.replace(".nii.gz", ".dcm")
    mask = read_volume(tmp_path / "mask.nii.gz")
    assert mask.array.any()
    back = read_back(tmp_path / "mask.dcm", Source.at(series), {1: "spleen"})
    np.testing.assert_array_equal(back, mask.array[0])
    (group,) = highdicom.sr.srread(tmp_path / "report.dcm").content.get_volumetric_roi_measurement_groups()
    ml = group.get_measurements()[0].value
    assert ml == pytest.approx(mask.array.sum() * mask.grid.voxel_ml, abs=1e-3)
    (algorithm,) = (
        highdicom.seg.segread(tmp_path / "mask.dcm")
        .SegmentSequence[0]
        .SegmentationAlgorithmIdentificationSequence
    )
    assert tiny_model.plan.digest in algorithm.AlgorithmParameters


def test_a_real_series_too(tiny_model: Model, shared_data: Path, tmp_path: Path) -> None:
    real = shared_data / "ct_dicom_series"
    for name in ("mask.nii.gz", "mask.dcm"):
        assert predict(tiny_model, real, "-o", tmp_path / name) == 0
    back = read_back(tmp_path / "mask.dcm", Source.at(real), {1: "spleen"})
    np.testing.assert_array_equal(back, read_volume(tmp_path / "mask.nii.gz").array[0])


def test_probabilities_are_above_a_half_where_the_mask_is(
    tiny_model: Model, series: Path, tmp_path: Path
) -> None:
    assert predict(tiny_model, series, "-o", tmp_path / "mask.dcm") == 0
    assert predict(tiny_model, series, "-o", tmp_path / "shares.dcm", "--fractional") == 0
    source = Source.at(series)
    mask = read_back(tmp_path / "mask.dcm", source, {1: "spleen"})
    segments = highdicom.seg.segread(tmp_path / "shares.dcm")
    shares = segments.get_pixels_by_source_instance(source.instances, assert_missing_frames_are_empty=True)[
        ..., 0
    ].T
    likely = shares > 0.5
    largest, count = ndimage.label(likely, np.ones((3, 3, 3)))
    assert count >= 1
    if tiny_model.plan.inference.keep_largest:
        likely = largest == 1 + np.argmax(np.bincount(largest.ravel())[1:])
    assert np.mean(likely == (mask > 0)) > 0.9999
    assert shares.min() + 1 > 0 and np.unique(shares).size > 20


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ct.nii.gz", "-o", "mask.dcm"], "no DICOM series; a DICOM-SEG refers to one"),
        (["ct.nii.gz", "-o", "mask.nii.gz", "--sr", "r.dcm"], "--sr goes with a DICOM answer; name it .dcm"),
        (["ct.nii.gz", "-o", "mask.nii.gz", "--fractional"], "--fractional goes with a DICOM answer"),
        (["ct.nii.gz", "-o", "m.dcm", "--sr", "r.dcm", "--fractional"], "leave --fractional out"),
        (["ct.nii.gz", "-o", "m.dcm", "--sr", "r.txt"], "a report is written to .dcm; name it so"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_computed(
    arguments: list[str],
    told: str,
    tiny_model: Model,
    phantoms: Manifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "ct.nii.gz").write_bytes(Path(phantoms.root, phantoms.cases[0].images[0].path).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert predict(tiny_model, *arguments) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ct.nii.gz"]
