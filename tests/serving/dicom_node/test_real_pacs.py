"""The node beside a real PACS: Debian's Orthanc, DCMTK's commands, and DICOMweb."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from segline.backends import open_backend
from segline.imaging.dicom.segmentation import file_bytes
from segline.imaging.dicom.series import read_series
from segline.imaging.dicom.sources import Source
from segline.imaging.files import read_volume, write_volume
from segline.inference.predictor import Predictor
from segline.model.package import Model
from segline.serving.dicom_node.answering import answerer
from segline.serving.models.served import Served

from ...imaging.dicom.read_back import read_back
from ...s3_server import free_port
from ...waiting import wait_until
from ..orthanc import NOT_HERE, Orthanc
from .neighbours import left_in, running

DCMTK = [shutil.which(name) for name in ("storescu", "echoscu", "findscu")]

pytestmark = [
    pytest.mark.skipif(bool(NOT_HERE), reason=NOT_HERE),
    pytest.mark.skipif(not all(DCMTK), reason="DCMTK's commands are not installed; apt install dcmtk"),
]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    server = Orthanc(tmp_path_factory.mktemp("orthanc"), free_port(), free_port())
    process = server.start()
    yield server
    process.terminate()
    process.wait()


@pytest.fixture
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A series of a study of its own: made up, or a real one, whose UIDs had been taken away."""
    what, folder = request.param, tmp_path / "named"
    source = (
        request.getfixturevalue("series")
        if what == "phantom"
        else request.getfixturevalue("shared_data") / "ct_dicom_series"
    )
    study, within = generate_uid(), generate_uid()
    folder.mkdir()
    for path in source.iterdir():
        image = pydicom.dcmread(path)
        image.StudyInstanceUID, image.SeriesInstanceUID = study, within
        image.PatientID, image.PatientName = "4711", "Doe^Jane"
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.save_as(folder / path.name)
    return folder


def is_compressed(series: Path) -> bool:
    image = pydicom.dcmread(next(series.iterdir()), stop_before_pixels=True)
    return bool(image.file_meta.TransferSyntaxUID.is_compressed)


def run(*command: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("named", ["phantom", "real"], indirect=True)
def test_what_storescu_sends_comes_back_to_orthanc_and_overlays_the_nifti_mask(
    named: Path, orthanc: Orthanc, tiny_model: Model, tmp_path: Path
) -> None:
    from dicomweb_client import DICOMwebClient

    answer = answerer(Served(tiny_model, "tiny/1", "onnxruntime", "cpu"), with_report=True)
    source, spool = Source.at(named), tmp_path / "spool"
    study = source.series["StudyInstanceUID"]
    with running(answer, spool, [orthanc.peer]) as port:
        run("echoscu", "-aet", "ORTHANC", "-aec", "SEGLINE", "127.0.0.1", port)
        syntax = "-xv" if is_compressed(named) else "-xe"
        run("storescu", syntax, "-aet", "ORTHANC", "-aec", "SEGLINE", "127.0.0.1", port, *named.iterdir())
        wait_until(lambda: orthanc.series_of(study, "SEG") and not left_in(spool))
    keys = ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={study}", "Modality=SEG", "SeriesInstanceUID="]
    arguments = [part for key in keys for part in ("-k", key)]
    found = run("findscu", "-S", "-aec", "ORTHANC", "127.0.0.1", orthanc.dicom, *arguments)
    client = DICOMwebClient(f"http://127.0.0.1:{orthanc.http}/dicom-web")
    (within,) = client.search_for_series(study, search_filters={"Modality": "SEG"})
    uid = within["0020000E"]["Value"][0]
    assert uid in found
    (segments,) = client.retrieve_series(study, uid)
    predict = Predictor(tiny_model.plan, open_backend("onnxruntime", tiny_model, "cpu"))
    write_volume(tmp_path / "mask.nii.gz", predict(read_series(named)))
    mask = read_volume(tmp_path / "mask.nii.gz").array[0]
    np.testing.assert_array_equal(read_back(file_bytes(segments), source, {1: "spleen"}), mask)
    (report,) = client.search_for_series(study, search_filters={"Modality": "SR"})
    assert report["0020000E"]["Value"][0] != uid


@pytest.mark.parametrize("named", ["phantom"], indirect=True)
def test_orthanc_sends_a_series_and_was_restarted_before_the_answer(
    named: Path, tiny_model: Model, tmp_path: Path
) -> None:
    folder = tmp_path / "orthanc"
    folder.mkdir()
    server = Orthanc(folder, free_port(), free_port())
    process = server.start()
    answer, gone = (
        answerer(Served(tiny_model, "tiny/1", "onnxruntime", "cpu"), with_report=False),
        threading.Event(),
    )

    def later(images: Path, folder: Path) -> None:
        gone.wait(60)
        answer(images, folder)

    spool = tmp_path / "spool"
    try:
        run("storescu", "-aec", "ORTHANC", "127.0.0.1", server.dicom, *named.iterdir())
        (series,) = server.get("/series")  # type: ignore[misc]
        with running(later, spool, [server.peer]) as port:
            server.put("/modalities/segline", "PUT", ["SEGLINE", "127.0.0.1", port])
            server.put("/modalities/segline/store", "POST", {"Resources": [series], "Synchronous": True})
            wait_until(lambda: list(spool.glob("predicting/*/tries")))
            process.terminate()
            process.wait()
            gone.set()
            wait_until(lambda: list(spool.glob("outbox/*/segmentation.dcm")))
            process = server.start()
            wait_until(lambda: not left_in(spool))
        assert len(server.series_of(Source.at(named).series["StudyInstanceUID"], "SEG")) == 1
    finally:
        process.terminate()
        process.wait()
