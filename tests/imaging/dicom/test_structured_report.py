"""A DICOM-SR tells each segment's volume, and refers to the segments."""

from pathlib import Path

import numpy as np
import pytest

from segline.imaging.dicom.segmentation import segmentation, write_object
from segline.imaging.dicom.series import read_series
from segline.imaging.dicom.sources import Source
from segline.imaging.dicom.structured_report import structured_report

from .read_back import ALGORITHM
from .written import numbered, write_series

highdicom = pytest.importorskip("highdicom", reason="not installed; pip install 'segline[dicom]'")


def test_volumes_are_told_in_ml(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", numbered(5), PatientName="A^B")
    volume = read_series(series)
    array = np.zeros(volume.array.shape, np.uint8)
    array[0, 2:5, 1:3, 1:4] = 1  # 18 voxels of 1.5x2x5 mm
    mask, labels = volume.with_array(array), {1: "spleen", 3: "left kidney"}
    source = Source.at(series)
    segments = segmentation(mask, source, labels, ALGORITHM)
    write_object(tmp_path / "report.dcm", structured_report(mask, segments, source, labels, ALGORITHM))
    report = highdicom.sr.srread(tmp_path / "report.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    told = {group.tracking_identifier: group.get_measurements()[0] for group in groups}
    assert {name: measured.value for name, measured in told.items()} == {"spleen": 0.27, "left kidney": 0.0}
    assert told["spleen"].unit.value == "mL"
    assert {group.referenced_segment.referenced_sop_instance_uid for group in groups} == {
        segments.SOPInstanceUID
    }
    assert (report.PatientName, report.StudyInstanceUID) == ("A^B", segments.StudyInstanceUID)
