"""DICOM over HTTP: series in, DICOM-SEG out, and series by their UID from a DICOMweb server."""

import io
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from segline.imaging.dicom.sources import Source
from segline.imaging.files import read_volume
from segline.model.package import Model

from ...imaging.dicom.read_back import read_back
from ...s3_server import free_port
from ...waiting import wait_until
from ..orthanc import NOT_HERE, Orthanc
from ..server import Server
from .test_predictions import zipped


@pytest.fixture(scope="module")
def mask(server: Server, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """``(X, Y, Z)``, what the server answers to the real series as NIfTI."""
    path = tmp_path_factory.mktemp("mask") / "mask.nii.gz"
    path.write_bytes(server.post(zipped(shared_data / "ct_dicom_series")).content)
    return read_volume(path).array[0]


def test_a_dicom_seg_overlays_the_nifti_mask(server: Server, shared_data: Path, mask: np.ndarray) -> None:
    series = shared_data / "ct_dicom_series"
    response = server.post(zipped(series), "/v1/predict?format=dicom-seg")
    assert response.headers["content-type"] == "application/dicom"
    segments = pydicom.dcmread(io.BytesIO(response.content))
    assert segments.Modality == "SEG"
    np.testing.assert_array_equal(read_back(response.content, Source.at(series), {1: "spleen"}), mask)


def test_a_job_has_one_where_it_was_asked_for(server: Server, shared_data: Path) -> None:
    content = zipped(shared_data / "ct_dicom_series")
    for asked, status in (("?dicom_seg=true", 200), ("", 404)):
        place = httpx.URL(server.post(content, f"/v1/jobs{asked}").headers["Location"]).path
        wait_until(lambda where=place: server.get(where).json()["status"] == "done")  # type: ignore[misc]
        assert server.get(f"{place}/dicom-seg").status_code == status
        httpx.delete(server.uri + place)


def test_what_is_no_series_has_none(server: Server, ct: bytes) -> None:
    response = server.post(ct, "/v1/predict?format=dicom-seg")
    assert response.status_code == 422 and "DICOM series" in response.json()["error"]


@pytest.mark.skipif(bool(NOT_HERE), reason=NOT_HERE)
def test_a_web_viewer_names_a_series_that_its_pacs_has(
    tiny_model: Model, shared_data: Path, mask: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "orthanc").mkdir()
    pacs, uid = Orthanc(tmp_path / "orthanc", free_port(), free_port()), generate_uid()
    pacs_url, process = f"http://127.0.0.1:{pacs.http}", pacs.start()
    try:
        for path in (shared_data / "ct_dicom_series").iterdir():
            image = pydicom.dcmread(path)
            image.StudyInstanceUID, image.SeriesInstanceUID, image.PatientID = uid, uid, "4711"
            image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID
            image.save_as(tmp_path / "slice.dcm")
            sent = httpx.post(f"{pacs_url}/instances", content=(tmp_path / "slice.dcm").read_bytes())
            assert sent.status_code == 200
        viewer = "http://viewer.example.org"
        web = ["--dicom-web", f"{pacs_url}/dicom-web", "--allow-origin", viewer]
        with Server(tiny_model.folder, tmp_path, *web) as server:
            asked = {"params": {"image": uid, "output": "image"}, "headers": {"Origin": viewer}}
            response = httpx.post(f"{server.uri}/infer/tiny", timeout=120, **asked)
            assert response.headers["access-control-allow-origin"] == viewer
            unknown = httpx.post(f"{server.uri}/infer/tiny?image=1.2.3.4.5", timeout=120)
            assert unknown.status_code == 422 and "no such series" in unknown.json()["error"]
    finally:
        process.terminate()
        process.wait()
    (tmp_path / "mask.nii.gz").write_bytes(response.content)
    np.testing.assert_array_equal(read_volume(tmp_path / "mask.nii.gz").array[0], mask)
