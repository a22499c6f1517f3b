"""The C++ client: the exported graph without Python, with Python's answer."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from segline.backends.open_vino import openvino_core
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume

SOURCE = Path(__file__).resolve().parents[2] / "clients" / "cpp"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built program."""
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: the C++ client cannot be built")
    import openvino

    build = tmp_path_factory.mktemp("build")
    config = Path(openvino.__file__).parent / "cmake"
    subprocess.run(["cmake", "-S", SOURCE, "-B", build, f"-DOpenVINO_DIR={config}"], check=True)
    subprocess.run(["cmake", "--build", build], check=True)
    return build / "segline_patch"


@pytest.fixture(scope="module")
def graph(finished: Path) -> Path:
    """An exported graph."""
    return finished / "runs/latest/model/model.onnx"


def fnv1a(data: bytes) -> str:
    """64-bit FNV-1a (Fowler, Noll and Vo), in hexadecimal digits."""
    value = 14695981039346656037
    for byte in data:
        value = ((value ^ byte) * 1099511628211) & (2**64 - 1)
    return f"{value:016x}"


def labels_in_python(graph: Path, patch: np.ndarray) -> np.ndarray:
    """Class indices ``(x, y, z)`` uint8 of OpenVINO called from Python."""

    compiled = openvino_core().compile_model(str(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    scores: np.ndarray = compiled(patch[None])[0]
    return scores[0].argmax(axis=0).astype(np.uint8)


def test_the_labels_are_bit_for_bit_those_of_python(client: Path, graph: Path, tmp_path: Path) -> None:
    patch = np.random.default_rng(0).normal(0.5, 0.3, (1, 32, 48, 16)).astype(np.float32)
    write_volume(tmp_path / "patch.nii", Volume(patch, np.eye(4)))
    command = [client, graph, tmp_path / "patch.nii"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    labels = labels_in_python(graph, patch)
    assert told["shape"] == [32, 48, 16]
    assert told["labelled"] == int((labels > 0).sum())
    assert told["checksum"] == fnv1a(labels.tobytes())
    assert told["latency_ms"] > 0


def test_a_missing_patch_is_told_in_one_line(client: Path, graph: Path, tmp_path: Path) -> None:
    done = subprocess.run([client, graph, tmp_path / "none.nii"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "none.nii: cannot be read" in done.stderr
