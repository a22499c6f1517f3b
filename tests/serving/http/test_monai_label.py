"""The client of MONAI Label, which 3D Slicer's plugin is built on, against a real server."""

import json
from pathlib import Path

import httpx
import numpy as np
import pytest

from segline.imaging.files import read_volume

from ...waiting import wait_until
from ..server import Server

client_module = pytest.importorskip(
    "monailabel.client.client", reason="monailabel is not installed; run make again"
)


@pytest.fixture
def client(server: Server, tmp_path: Path) -> "client_module.MONAILabelClient":
    return client_module.MONAILabelClient(server.uri + "/", str(tmp_path), client_id="slicer")


@pytest.fixture(scope="module")
def mask(server: Server, ct: bytes, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """What the server answers by its own routes."""
    path = tmp_path_factory.mktemp("mask") / "mask.nii.gz"
    path.write_bytes(server.post(ct).content)
    return read_volume(path).array


def test_the_app_tells_its_model_and_labels(client: "client_module.MONAILabelClient") -> None:
    info = client.info()
    assert info["labels"] == ["spleen"]
    model = info["models"]["tiny"]
    assert model["type"] == "segmentation" and model["labels"] == {"spleen": 1} and model["dimension"] == 3
    assert not client.auth_enabled()
    assert not client.train_status(check_if_running=True)


def test_an_image_of_a_session_is_segmented(
    client: "client_module.MONAILabelClient", ct_file: Path, mask: np.ndarray
) -> None:
    session = client.create_session(str(ct_file))["session_id"]
    assert client.get_session(session)["name"] == session
    file, params = client.infer("tiny", "", {"threshold": 0.5}, session_id=session)
    assert np.array_equal(read_volume(Path(file)).array, mask)
    assert params["label_names"] == params["volumes_ml"] and params["model"].startswith("tiny")
    client.remove_session(session)
    with pytest.raises(client_module.MONAILabelClientException):
        client.get_session(session)


def test_an_image_of_the_datastore_is_segmented(
    client: "client_module.MONAILabelClient", ct_file: Path, mask: np.ndarray, server: Server
) -> None:
    assert client.upload_image(str(ct_file), "patient-1") == {"image": "patient-1"}
    assert "patient-1" in client.datastore()["objects"]
    for _ in range(2):
        file, _ = client.infer("tiny", "patient-1", {})
        assert np.array_equal(read_volume(Path(file)).array, mask)
    assert server.get("/datastore/image?image=patient-1").content == ct_file.read_bytes()
    assert httpx.delete(f"{server.uri}/datastore/?id=patient-1").status_code == 200
    assert "patient-1" not in client.datastore()["objects"]


def test_a_file_is_segmented_as_it_is_sent(
    client: "client_module.MONAILabelClient", ct_file: Path, mask: np.ndarray, server: Server
) -> None:
    file, _ = client.infer("tiny", "", {}, file=str(ct_file))
    assert np.array_equal(read_volume(Path(file)).array, mask)
    wait_until(lambda: not server.spooled)


def test_a_web_viewer_gets_nrrd_of_the_type_that_it_asks_for(
    server: Server, ct: bytes, mask: np.ndarray, tmp_path: Path
) -> None:
    params = {"result_extension": ".nrrd", "result_dtype": "uint16", "result_compress": False}
    asked = {"data": {"params": json.dumps(params)}, "files": {"file": ("ct.nii.gz", ct)}}
    response = httpx.post(f"{server.uri}/infer/tiny?output=image", timeout=60, **asked)
    (tmp_path / "mask.nrrd").write_bytes(response.content)
    read = read_volume(tmp_path / "mask.nrrd")
    assert read.array.dtype == np.uint16 and np.array_equal(read.array, mask)


def test_what_is_not_there_is_told(client: "client_module.MONAILabelClient") -> None:
    for model, image in (("tiny", "unknown"), ("other", "unknown")):
        with pytest.raises(client_module.MONAILabelClientException, match="404"):
            client.infer(model, image, {})


def test_labels_are_not_taken_for_kept(client: "client_module.MONAILabelClient", ct_file: Path) -> None:
    with pytest.raises(client_module.MONAILabelClientException, match="501"):
        client.save_label("patient-1", str(ct_file))
