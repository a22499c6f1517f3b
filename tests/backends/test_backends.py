import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from segline.backends import BACKENDS, REFERENCE, open_backend, open_vino_bf16
from segline.backends.open_vino_bf16 import has_bfloat16
from segline.common.digests import sha256_of_file
from segline.common.errors import SeglineError, UnavailableError
from segline.data.phantom.scanner import phantom_case
from segline.inference.predictor import Predictor
from segline.machine.nvidia import nvidia_driver_missing
from segline.model.int8 import INT8_GRAPH, INT8_SIDECAR, Int8Sidecar
from segline.model.package import Model
from segline.plan.plan import Export

NO_GPU = nvidia_driver_missing()
ELSEWHERE = ("tensorrt", "pytorch_amp", *(() if has_bfloat16() else ("openvino_bf16",)))
ON_A_CPU = [name for name in BACKENDS if name not in ELSEWHERE]
SCORES_WITHIN = {"float32": 1e-5, "bfloat16": 0.05, "int8": 0.1}
"""Root mean square, of scores whose standard deviation is near 4; int8 was not calibrated on such noise."""
LABELS_WITHIN = {"float32": 1e-4, "bfloat16": 1e-3, "int8": 2e-3}
"""Of so small a network; on CPUs with other instructions int8 rounds otherwise."""


def refusal(name: str, model: Model, device: str = "cpu") -> str:
    with pytest.raises(SeglineError) as caught:
        open_backend(name, model, device)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_backend_is_refused_with_those_there_are(int8_model: Model) -> None:
    there_are = ", ".join(BACKENDS)
    assert refusal("caffe", int8_model) == f"backend 'caffe': unknown; there are {there_are}"


def test_the_reference_is_a_backend() -> None:
    assert REFERENCE in BACKENDS


@pytest.mark.parametrize("name", ON_A_CPU)
def test_a_backend_says_what_it_is_and_what_it_runs_on(name: str, int8_model: Model) -> None:
    backend = open_backend(name, int8_model)
    assert backend.name == name
    assert "cpu" in backend.version.lower()
    assert any(digit.isdigit() for digit in backend.version)


@pytest.mark.parametrize("name", ON_A_CPU)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(16, 16, 16), (8, 20, 34)])
def test_a_backend_turns_windows_into_class_scores(
    name: str, batch: int, size: tuple[int, int, int], int8_model: Model
) -> None:
    windows = torch.rand(batch, 1, *size)
    before = windows.clone()
    scores = open_backend(name, int8_model)(windows)
    assert scores.shape == (batch, 2, *size)
    assert scores.dtype == torch.float32
    assert scores.device == windows.device
    assert scores.is_contiguous()
    assert torch.equal(windows, before)


@pytest.mark.parametrize("size", [(16, 16, 16), (8, 20, 34), (48, 32, 16)])
def test_all_backends_give_the_scores_of_the_reference(size: tuple[int, int, int], int8_model: Model) -> None:
    windows = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
    wanted = open_backend(REFERENCE, int8_model)(windows)
    for name in ON_A_CPU:
        backend = open_backend(name, int8_model)
        apart = (backend(windows) - wanted).square().mean().sqrt()
        assert apart < SCORES_WITHIN[backend.precision], name


def test_all_backends_give_the_same_mask_of_a_phantom(int8_model: Model) -> None:
    phantom, _ = phantom_case(4)
    wanted = Predictor(int8_model.plan, open_backend(REFERENCE, int8_model))(phantom)
    for name in ON_A_CPU:
        backend = open_backend(name, int8_model)
        mask = Predictor(int8_model.plan, backend)(phantom)
        assert (mask.array != wanted.array).sum() <= LABELS_WITHIN[backend.precision] * mask.array.size, name
    assert 0 < np.count_nonzero(wanted.array) < wanted.array.size / 4


@pytest.mark.parametrize("name", ON_A_CPU)
def test_an_array_is_answered_by_an_array_as_a_tensor_by_a_tensor(name: str, int8_model: Model) -> None:
    windows = torch.rand(2, 1, 16, 16, 16)
    backend = open_backend(name, int8_model)
    scores = backend(windows.numpy())
    assert isinstance(scores, np.ndarray) and scores.flags.c_contiguous
    assert np.array_equal(scores, backend(windows))


@pytest.mark.parametrize("name", ON_A_CPU)
def test_windows_in_any_memory_layout_are_understood(name: str, int8_model: Model) -> None:
    windows = torch.rand(2, 1, 16, 16, 16)
    turned = windows.transpose(2, 4).contiguous().transpose(2, 4)
    assert not turned.is_contiguous()
    backend = open_backend(name, int8_model)
    assert torch.allclose(backend(turned), backend(windows), atol=1e-5)


@pytest.mark.parametrize("name", ON_A_CPU)
def test_scores_stay_the_callers_through_later_calls(name: str, int8_model: Model) -> None:
    backend = open_backend(name, int8_model)
    first = backend(torch.rand(2, 1, 16, 16, 16))
    kept = first.clone()
    for size in (16, 16, 32, 8):
        backend(torch.rand(2, 1, size, size, size)).zero_()
    assert torch.equal(first, kept)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("device", ["gpu", "cuda:x", "mps", ""])
def test_an_unknown_device_is_refused(name: str, device: str, int8_model: Model) -> None:
    assert f"device {device!r}: " in refusal(name, int8_model, device)


@pytest.mark.skipif(NO_GPU is None, reason="this machine has an NVIDIA GPU")
@pytest.mark.parametrize("name", ON_A_CPU)
def test_a_gpu_that_is_not_there_is_an_error_and_never_a_run_on_the_cpu(name: str, int8_model: Model) -> None:
    line = refusal(name, int8_model, "cuda")
    assert "use cpu" in line
    assert "cuda" in line.lower()


def test_onnx_runtime_that_is_not_installed_is_said_with_what_to_install(
    int8_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install 'segline[onnx]'" in refusal("onnxruntime", int8_model)


@pytest.mark.parametrize("name", ["openvino", "openvino_bf16", "openvino_int8"])
def test_openvino_that_is_not_installed_is_unavailable_with_what_to_install(
    name: str, int8_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UnavailableError, match=r"pip install 'segline\[openvino\]'"):
        open_backend(name, int8_model)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "openvino_int8"])
def test_a_backend_of_a_graph_needs_an_exported_graph(name: str, int8_model: Model, tmp_path: Path) -> None:
    model = int8_model.copied_to(tmp_path / "model")
    model.onnx.unlink()
    assert "run export_onnx first" in refusal(name, model)


def test_a_package_without_an_int8_graph_is_unavailable_to_the_int8_backend(tiny_model: Model) -> None:
    with pytest.raises(UnavailableError, match=r"no int8 graph; set export.int8_patches"):
        open_backend("openvino_int8", tiny_model)
    open_backend("openvino", tiny_model)


def test_a_plan_that_asks_for_no_bfloat16_gets_none(int8_model: Model, tmp_path: Path) -> None:
    plan = int8_model.plan.model_copy(update={"export": Export()})
    with pytest.raises(UnavailableError, match=r"asks for no bfloat16; set export.bfloat16"):
        open_backend("openvino_bf16", Model(tmp_path, plan))


def test_a_cpu_without_bfloat16_is_told(int8_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_vino_bf16, "has_bfloat16", lambda: False)
    with pytest.raises(UnavailableError, match=r"this CPU computes nothing in bfloat16; use openvino"):
        open_backend("openvino_bf16", int8_model)


def test_only_the_int8_backend_says_that_it_computes_in_int8(int8_model: Model) -> None:
    precisions = {name: open_backend(name, int8_model).precision for name in ON_A_CPU}
    assert [name for name, precision in precisions.items() if precision == "int8"] == ["openvino_int8"]


def test_damaged_weights_are_refused(int8_model: Model, tmp_path: Path) -> None:
    model = int8_model.copied_to(tmp_path / "model")
    model.weights.write_bytes(model.weights.read_bytes()[:1000])
    assert "not a readable weights file" in refusal("pytorch", model)


def with_graph(model: Model, folder: Path, content: bytes) -> Model:
    """A copy whose graph is another, with a sidecar that says that it belongs there."""
    copy = model.copied_to(folder)
    sidecar = copy.sidecar()
    copy.onnx.write_bytes(content)
    copy.write_sidecar(sidecar.model_copy(update={"onnx_sha256": sha256_of_file(copy.onnx)}))
    return copy


def graph_of(channels: int, stride: int = 1, given: str = "windows", asked: str = "windows") -> bytes:
    """One convolution."""
    weights = onnx.numpy_helper.from_array(np.zeros((channels, 1, 1, 1, 1), np.float32), "weights")
    node = onnx.helper.make_node("Conv", [asked, "weights"], ["scores"], strides=[stride] * 3)
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", size, "x", "y", "z"])
        for name, size in ((given, 1), ("scores", channels))
    ]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("content", [b"", b"junk" * 100, graph_of(2, asked="absent")])
def test_a_graph_that_is_none_is_one_line(
    name: str, content: bytes, tiny_model: Model, tmp_path: Path
) -> None:
    model = with_graph(tiny_model, tmp_path / "model", content)
    line = refusal(name, model)
    assert line.startswith(f"{model.onnx}: ") and "run export_onnx again" in line


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    "content", [graph_of(5), graph_of(2, stride=2), graph_of(2, given="image", asked="image")]
)
def test_a_graph_of_another_network_is_one_line_and_never_an_answer(
    name: str, content: bytes, tiny_model: Model, tmp_path: Path
) -> None:
    backend = open_backend(name, with_graph(tiny_model, tmp_path / "model", content))
    with pytest.raises(SeglineError) as caught:
        backend(torch.zeros(1, 1, 16, 16, 16))
    assert str(caught.value).startswith(f"{name}: ")


def test_an_int8_graph_that_is_none_is_one_line(int8_model: Model, tmp_path: Path) -> None:
    model = int8_model.copied_to(tmp_path / "model")
    graph, sidecar = model.folder / INT8_GRAPH, Int8Sidecar.read(model.folder / INT8_SIDECAR)
    graph.write_text("<net")
    sidecar.model_copy(update={"graph_sha256": sha256_of_file(graph)}).write(model.folder / INT8_SIDECAR)
    assert f"{graph}: openvino_int8 cannot load it: " in refusal("openvino_int8", model)


def test_a_signal_is_heard_after_openvino_ran_two_graphs_at_once(int8_model: Model) -> None:
    """Its CPU plugin takes the thread's stack for signals, and may give back one that is gone."""
    script = """
import gc, os, signal, sys
from pathlib import Path
from segline.backends import open_backend
from segline.model.package import Model

model = Model.open(Path(sys.argv[1]))
first, second = (open_backend(name, model, "cpu") for name in ("openvino", "openvino_int8"))
del first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGUSR1, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGUSR1)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(int8_model.folder)], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (0, "heard\n"), ran.stderr
