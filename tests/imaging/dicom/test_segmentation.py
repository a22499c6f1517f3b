"""A DICOM-SEG overlays the mask it was made of, voxel for voxel, whatever the series is like."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from segline.common.errors import SeglineError
from segline.imaging.dicom.segmentation import segmentation_bytes
from segline.imaging.dicom.series import read_series
from segline.imaging.dicom.sources import Source
from segline.imaging.files import read_volume, write_volume
from segline.imaging.volume import Volume

from .read_back import ALGORITHM, read_back
from .written import dataset_of, numbered, write_enhanced, write_series, write_slice

highdicom = pytest.importorskip("highdicom", reason="not installed; pip install 'segline[dicom]'")

LABELS = {1: "spleen", 3: "left kidney"}
"""One value is left out: segments are numbered without a gap."""


def labelled(volume: Volume) -> Volume:
    """A mask of two labels at random, none in the first slice."""
    array = np.random.default_rng(0).choice([0, 1, 3], volume.array.shape, p=[0.6, 0.2, 0.2])
    array[..., 0] = 0
    return volume.with_array(array.astype(np.uint8))


def tilted(folder: Path) -> Path:
    plane = [1, 0, 0, 0, float(np.cos(0.3)), float(np.sin(0.3))]
    return write_series(folder, numbered(7), ImageOrientationPatient=plane)


def oblique(folder: Path) -> Path:
    row, column = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, -1.0])
    for number, image in enumerate(numbered(7)):
        position = np.array([10, 20, 30]) + 5 * number * np.cross(row, column)
        write_slice(folder, image, position, number, ImageOrientationPatient=[*row, *column])
    return folder


def backwards(folder: Path) -> Path:
    for number, image in enumerate(numbered(7)):
        write_slice(folder, image, (0, 0, -5.0 * number), number)
    return folder


def of_directions_that_are_rounded(folder: Path) -> Path:
    for number, image in enumerate(numbered(7)):
        plane = [1.0, 0.0, 0.0, 0.0, 1.0, 1e-5 * (number % 2)]
        write_slice(folder, image, (0, 0, 5.0 * number), number, ImageOrientationPatient=plane)
    return folder


def of_many_frames(folder: Path) -> Path:
    places = [(-30, -30, 5 * number - 25) for number in range(7)]
    folder.mkdir()
    return write_enhanced(folder / "enhanced.dcm", numbered(7), places, range(-1024, -1017))


def of_frames_in_another_order(folder: Path) -> Path:
    places = [(-30, -30, 5 * number - 25) for number in (3, 0, 6, 1, 5, 2, 4)]
    folder.mkdir()
    write_enhanced(folder / "enhanced.dcm", numbered(7), places, range(-1024, -1017))
    return folder


def without_thickness(folder: Path) -> Path:
    return write_series(folder, numbered(7), SliceThickness=None)


def with_uids_that_are_none(folder: Path) -> Path:
    return write_series(folder, numbered(7), SeriesInstanceUID="1.02.3", StudyInstanceUID="study")


def inverted(folder: Path) -> Path:
    return write_series(folder, numbered(7), PhotometricInterpretation="MONOCHROME1")


VARIANTS = [
    tilted,
    oblique,
    backwards,
    of_directions_that_are_rounded,
    of_many_frames,
    of_frames_in_another_order,
    without_thickness,
    with_uids_that_are_none,
    inverted,
]


@pytest.mark.parametrize("write", VARIANTS, ids=lambda write: write.__name__)
def test_it_overlays_the_mask(write: Callable[[Path], Path], tmp_path: Path) -> None:
    series = write(tmp_path / "series")
    mask = labelled(read_volume(series))
    content = segmentation_bytes(mask, series, LABELS, ALGORITHM)
    np.testing.assert_array_equal(read_back(content, Source.at(series), LABELS), mask.array[0])
    write_volume(tmp_path / "mask.nii.gz", mask)
    stored = read_volume(tmp_path / "mask.nii.gz").array[0]
    np.testing.assert_array_equal(read_back(content, Source.at(series), LABELS), stored)


def test_a_real_series_that_is_compressed_and_lost_its_uids(shared_data: Path) -> None:
    series = shared_data / "ct_dicom_series"
    volume = read_series(series)
    mask = volume.with_array(((volume.array > 150) + 3 * (volume.array < -500)).astype(np.uint8))
    content = segmentation_bytes(mask, series, LABELS, ALGORITHM)
    np.testing.assert_array_equal(read_back(content, Source.at(series), LABELS), mask.array[0])
    geometry = highdicom.seg.segread(io.BytesIO(content)).get_volume_geometry()
    corners = np.array([[z, y, x, 1] for z in (0, 19) for y in (0, 511) for x in (0, 511)])
    ours = (volume.affine @ np.array([[x, y, 19 - z, 1] for z, y, x, _ in corners]).T).T
    np.testing.assert_allclose((geometry.affine @ corners.T).T * [-1, -1, 1, 1], ours, atol=1e-3)


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A series of a patient whose name is no ASCII."""
    told = {"PatientName": "Müller^Jörg", "PatientID": "4711", "SpecificCharacterSet": "ISO_IR 100"}
    study = {"StudyDescription": "Abdomen", "AccessionNumber": "A1", "StudyDate": "20240102"}
    return write_series(tmp_path / "named", numbered(5), **told, **study)


def test_it_belongs_to_the_patient_and_study_of_its_series(
    named: Path, recwarn: pytest.WarningsRecorder
) -> None:
    volume = read_series(named)
    made = pydicom.dcmread(io.BytesIO(segmentation_bytes(labelled(volume), named, LABELS, ALGORITHM)))
    assert (made.PatientName, made.PatientID, made.AccessionNumber) == ("Müller^Jörg", "4711", "A1")
    source = pydicom.dcmread(named / "IM_0000.dcm")
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "StudyDescription", "StudyDate"):
        assert made[name].value == source[name].value
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    assert made.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    assert not [warning for warning in recwarn if "ller" in str(warning.message)]


def test_it_says_what_its_segments_are_and_what_made_them(named: Path) -> None:
    made = pydicom.dcmread(
        io.BytesIO(segmentation_bytes(labelled(read_series(named)), named, LABELS, ALGORITHM))
    )
    assert (made.SegmentationType, made.Modality) == ("BINARY", "SEG")
    spleen, kidney = made.SegmentSequence
    assert spleen.SegmentLabel == "spleen"
    assert spleen.SegmentedPropertyTypeCodeSequence[0].CodeValue == "78961009"
    (side,) = kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert side.CodeMeaning == "Left"
    (algorithm,) = spleen.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("segline spleen", "spleen/3")
    assert "ab" * 32 in algorithm.AlgorithmParameters and "cd" * 32 in algorithm.AlgorithmParameters


def test_the_same_model_on_the_same_images_makes_the_same_object(named: Path) -> None:
    mask = labelled(read_series(named))
    one, two = (
        pydicom.dcmread(io.BytesIO(segmentation_bytes(mask, named, LABELS, ALGORITHM))) for _ in range(2)
    )
    assert (one.SOPInstanceUID, one.SeriesInstanceUID) == (two.SOPInstanceUID, two.SeriesInstanceUID)
    other = type(ALGORITHM)("spleen", "spleen/3", {**ALGORITHM.parts, "weights": "ef" * 32})
    three = pydicom.dcmread(io.BytesIO(segmentation_bytes(mask, named, LABELS, other)))
    assert three.SOPInstanceUID != one.SOPInstanceUID


def test_a_label_that_is_not_found_is_a_segment_all_the_same(named: Path) -> None:
    volume = read_series(named)
    empty = volume.with_array(np.zeros(volume.array.shape, np.uint8))
    content = segmentation_bytes(empty, named, LABELS, ALGORITHM)
    assert len(pydicom.dcmread(io.BytesIO(content)).SegmentSequence) == 2
    assert not read_back(content, Source.at(named), LABELS).any()


def test_probabilities_are_kept_to_a_255th(named: Path) -> None:
    volume = read_series(named)
    shares = np.random.default_rng(1).random((2, *volume.grid.shape), np.float32)
    content = segmentation_bytes(volume.with_array(shares), named, LABELS, ALGORITHM)
    segments = highdicom.seg.segread(io.BytesIO(content))
    assert segments.SegmentationType == "FRACTIONAL"
    back = segments.get_pixels_by_source_instance(Source.at(named).instances)
    np.testing.assert_allclose(back.transpose(3, 2, 1, 0), shares, atol=0.5 / 255 + 1e-6)


class TestRefusals:
    def refusal(self, mask: Volume, path: Path) -> str:
        with pytest.raises(SeglineError) as refused:
            segmentation_bytes(mask, path, LABELS, ALGORITHM)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    def test_a_mask_of_another_series(self, named: Path) -> None:
        mask = Volume(np.zeros((1, 3, 4, 5), np.uint8), np.eye(4))
        assert "a mask of 3x4x5 for a series of 8x6x5" in self.refusal(mask, named)

    def test_a_file_that_is_no_dicom(self, tmp_path: Path) -> None:
        path = tmp_path / "ct.nii.gz"
        mask = Volume(np.zeros((1, 3, 4, 5), np.uint8), np.eye(4))
        write_volume(path, mask)
        assert f"{path}: no DICOM series; a DICOM-SEG refers to one" in self.refusal(mask, path)

    def test_several_files_of_one_enhanced_frame_each(self, tmp_path: Path) -> None:
        for number in range(3):
            path = tmp_path / f"{number}.dcm"
            write_enhanced(path, numbered(1), [(0, 0, 5.0 * number)], [0])
            image = pydicom.dcmread(path)
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
            image.save_as(path)
        mask = labelled(read_series(tmp_path))
        assert "3 enhanced files make the volume" in self.refusal(mask, tmp_path)

    def test_images_of_a_class_of_their_own(self, tmp_path: Path) -> None:
        for number, image in enumerate(numbered(3)):
            dataset_of(image, (0, 0, 5 * number), number, SOPClassUID="1.2.3.4").save_as(
                tmp_path / f"{number}.dcm"
            )
        assert "no DICOM object can refer to this series" in self.refusal(
            labelled(read_series(tmp_path)), tmp_path
        )
