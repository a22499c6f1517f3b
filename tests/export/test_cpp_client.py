"""The C++ client: the exported graph without Python, with Python's answer."""

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from segline.backends.onnx_runtime import INPUT, OUTPUT
from segline.backends.open_vino import openvino_core
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume
from segline.machine.onnx_runtime import import_onnxruntime

pytestmark = pytest.mark.heavy

SOURCE = Path(__file__).resolve().parents[2] / "clients" / "cpp"


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def runtime(request: pytest.FixtureRequest) -> str:
    """What the client is built with."""
    return str(request.param)


@pytest.fixture(scope="module")
def client(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built program."""
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: the C++ client cannot be built")
    build = tmp_path_factory.mktemp("build")
    subprocess.run(
        ["cmake", "-S", SOURCE, "-B", build, f"-DRUNTIME={runtime}", library_of(runtime)], check=True
    )
    subprocess.run(["cmake", "--build", build], check=True)
    return build / "segline_patch"


def library_of(runtime: str) -> str:
    """How CMake is told where Python's package has it."""
    found = importlib.util.find_spec(runtime)
    assert found and found.origin
    folder = Path(found.origin).parent
    if runtime == "openvino":
        return f"-DOpenVINO_DIR={folder / 'cmake'}"
    (library,) = folder.glob("capi/libonnxruntime.so*")
    return f"-DONNXRUNTIME_LIBRARY={library}"


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


def labels_in_python(runtime: str, graph: Path, patch: np.ndarray) -> np.ndarray:
    """Class indices ``(x, y, z)`` uint8 of the runtime called from Python."""
    scores: np.ndarray
    if runtime == "openvino":
        compiled = openvino_core().compile_model(str(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        scores = compiled(patch[None])[0]
    else:
        session = import_onnxruntime().InferenceSession(graph, providers=["CPUExecutionProvider"])
        (scores,) = session.run([OUTPUT], {INPUT: patch[None]})
    return scores[0].argmax(axis=0).astype(np.uint8)


def test_the_labels_are_bit_for_bit_those_of_python(
    runtime: str, client: Path, graph: Path, tmp_path: Path
) -> None:
    patch = np.random.default_rng(0).normal(0.5, 0.3, (1, 32, 48, 16)).astype(np.float32)
    write_volume(tmp_path / "patch.nii", Volume(patch, np.eye(4)))
    command = [client, graph, tmp_path / "patch.nii"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    labels = labels_in_python(runtime, graph, patch)
    assert told["shape"] == [32, 48, 16]
    assert told["labelled"] == int((labels > 0).sum())
    assert told["checksum"] == fnv1a(labels.tobytes())
    assert told["latency_ms"] > 0


def test_a_missing_patch_is_told_in_one_line(client: Path, graph: Path, tmp_path: Path) -> None:
    done = subprocess.run([client, graph, tmp_path / "none.nii"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "none.nii: cannot be read" in done.stderr


def test_a_damaged_graph_is_an_error(client: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    write_volume(tmp_path / "patch.nii", Volume(np.zeros((1, 16, 16, 16), np.float32), np.eye(4)))
    command = [client, tmp_path / "model.onnx", tmp_path / "patch.nii"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "segline_patch: " in done.stderr


def test_what_is_known_of_onnx_runtime_is_what_its_header_says(tmp_path: Path) -> None:
    folder = os.environ.get("ONNXRUNTIME_INCLUDE_DIR", "/usr/include/onnxruntime")
    if not Path(folder, "onnxruntime_c_api.h").is_file():
        pytest.skip("ONNX Runtime's headers are not installed; set ONNXRUNTIME_INCLUDE_DIR")
    command = ["c++", "-std=c++17", "-fsyntax-only", "-I", folder, SOURCE / "onnxruntime_abi_check.cpp"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
