import gzip
import io
import json
import zipfile
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

from segline.cli.main import main
from segline.data.phantom.scanner import phantom_case
from segline.imaging.files import read_volume, write_volume
from segline.model.package import Model

from ...waiting import wait_until
from ..server import Server


def predicted(model: Model, image: Path, folder: Path) -> bytes:
    """What ``segline predict`` writes, by the backend that the server chose."""
    mask = folder / "mask.nii.gz"
    assert main(["predict", str(model.folder), str(image), "-o", str(mask), "--backend", "openvino"]) == 0
    return mask.read_bytes()


def zipped(folder: Path, under: str = "") -> bytes:
    """A zip of a folder's files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, under + path.name)
    return stream.getvalue()


def test_a_mask_has_the_bytes_that_the_command_writes(
    server: Server, tiny_model: Model, ct: bytes, ct_file: Path, tmp_path: Path
) -> None:
    response = server.post(ct)
    assert response.status_code == 200
    assert response.content == predicted(tiny_model, ct_file, tmp_path)


def test_a_real_ct_is_answered_as_the_command_answers_it(
    server: Server, tiny_model: Model, shared_data: Path, tmp_path: Path
) -> None:
    image = shared_data / "Task09_SpleenMini" / "imagesTr" / "spleen_tsB.nii.gz"
    response = server.post(image.read_bytes())
    assert response.content == predicted(tiny_model, image, tmp_path)
    mask = nib.Nifti1Image.from_bytes(gzip.decompress(response.content))
    assert mask.shape == nib.load(image).shape
    assert np.array_equal(mask.affine, nib.load(image).affine)


def test_a_dicom_series_comes_as_a_zip_in_whatever_folder(
    server: Server, tiny_model: Model, shared_data: Path, tmp_path: Path
) -> None:
    series = shared_data / "ct_dicom_series"
    wanted = predicted(tiny_model, series, tmp_path)
    for under in ("", "study/series/"):
        assert server.post(zipped(series, under)).content == wanted


def test_slices_may_come_as_a_form(
    server: Server, tiny_model: Model, shared_data: Path, tmp_path: Path
) -> None:
    series = shared_data / "ct_dicom_series"
    files = [("file", (path.name, path.read_bytes())) for path in sorted(series.iterdir())]
    response = httpx.post(f"{server.uri}/v1/predict", files=files, timeout=120)
    assert response.content == predicted(tiny_model, series, tmp_path)


def test_the_answer_says_who_gave_it_and_what_was_found(server: Server, ct: bytes) -> None:
    response = server.post(ct)
    said = json.loads(response.headers["X-Segline-Answer"])
    told = server.post(ct, "/v1/predict?format=json").json()
    (model,) = server.get("/v1/models").json()
    assert said["model"] == told["model"] == model["version"] == response.headers["X-Segline-Model"]
    assert said["digests"] == model["digests"]
    assert said["volumes_ml"] == told["volumes_ml"]
    assert {"read", "preprocess", "network", "invert", "write"} <= told["seconds"].keys()
    mask = nib.Nifti1Image.from_bytes(gzip.decompress(response.content))
    voxel_ml = abs(np.linalg.det(mask.affine[:3, :3])) / 1000
    assert said["volumes_ml"]["spleen"] == pytest.approx(
        (np.asanyarray(mask.dataobj) == 1).sum() * voxel_ml, abs=1e-3
    )


def test_what_looks_wrong_is_remarked(server: Server, tmp_path: Path) -> None:
    image = phantom_case(7)[0]
    write_volume(tmp_path / "offset.nii.gz", image.with_array(image.array + 1024))
    told = server.post((tmp_path / "offset.nii.gz").read_bytes(), "/v1/predict?format=json").json()
    assert any("offset" in remark for remark in told["remarks"])


def test_a_job_is_fetched_later_and_removed(server: Server, ct: bytes) -> None:
    begun = server.post(ct, "/v1/jobs")
    assert begun.status_code == 202
    place = httpx.URL(begun.headers["Location"]).path
    wait_until(lambda: server.get(place).json()["status"] == "done")
    done = server.get(place).json()
    assert done["progress"] == 1 and done["answer"]["volumes_ml"]
    assert server.get(f"{place}/mask").content == server.post(ct).content
    assert httpx.delete(server.uri + place).status_code == 204
    assert server.get(place).status_code == 404
    wait_until(lambda: not server.spooled)


def test_a_volume_that_was_sent_comes_back_as_nifti(
    server: Server, shared_data: Path, tmp_path: Path
) -> None:
    series = shared_data / "ct_dicom_series"
    place = httpx.URL(server.post(zipped(series), "/v1/jobs").headers["Location"]).path
    (tmp_path / "volume.nii.gz").write_bytes(server.get(f"{place}/volume").content)
    assert np.array_equal(read_volume(tmp_path / "volume.nii.gz").array, read_volume(series).array)
    httpx.delete(server.uri + place)


def test_a_job_that_fails_says_why_without_where(server: Server, ct: bytes) -> None:
    cut = ct[: len(ct) // 2]
    job = server.post(cut, "/v1/jobs").json()["id"]
    wait_until(lambda: server.get(f"/v1/jobs/{job}").json()["status"] == "failed")
    told = server.get(f"/v1/jobs/{job}").json()["error"]
    assert told.startswith("image-0.nii.gz: truncated or damaged gzip")
    assert server.get(f"/v1/jobs/{job}/mask").status_code == 422
    httpx.delete(f"{server.uri}/v1/jobs/{job}")


def test_several_channels_of_a_model_of_one_are_refused(server: Server, ct: bytes) -> None:
    files = [("file", ("a.nii.gz", ct)), ("file", ("b.nii.gz", ct))]
    response = httpx.post(f"{server.uri}/v1/predict", files=files, timeout=120)
    assert response.status_code == 422
    assert "2 channels, the model wants 1" in response.json()["error"]
