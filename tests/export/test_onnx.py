import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from segline.backends import open_backend
from segline.common.digests import sha256_of_file
from segline.common.errors import SeglineError
from segline.data.cases.case import Case
from segline.data.cases.index import CaseIndex
from segline.export.agreement import compare_on_patches
from segline.export.onnx import OPSET, export_onnx
from segline.model.package import Model
from segline.model.sidecars import LARGEST_DIFFERENCE
from segline.networks.catalogue import build_network
from segline.networks.folding import folded
from segline.networks.weights import load_network, save_weights
from segline.plan import Plan
from segline.training.objectives.masks import MASKS

from ..command import python
from ..conftest import TinyTraining, small_plan

EXPORT = """
import sys
from pathlib import Path
from segline.data.cases.index import CaseIndex
from segline.export.onnx import export_onnx
from segline.model.package import Model

model = Model.open(Path(sys.argv[1]))
export_onnx(model, CaseIndex.read(Path(sys.argv[2])).open(model.plan.split.val), patches=2)
"""


@pytest.fixture
def val_cases(tiny_plan: Plan, tiny_index: CaseIndex) -> list[Case]:
    return tiny_index.open(tiny_plan.split.val)


def contents(model: Model) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in model.folder.iterdir()}


def unexported(tiny_model: Model, folder: Path) -> Model:
    model = tiny_model.copied_to(folder)
    (model.folder / "model.onnx").unlink()
    (model.folder / "model.fp16.onnx").unlink()
    (model.folder / "model.onnx.json").unlink()
    return model


def test_the_graph_is_valid_onnx(tiny_model: Model) -> None:
    onnx.checker.check_model(str(tiny_model.onnx), full_check=True)
    graph = onnx.load(tiny_model.onnx)
    assert [entry.version for entry in graph.opset_import if entry.domain == ""] == [OPSET]
    assert not (tiny_model.folder / "model.onnx.data").exists()


def test_no_batch_norm_is_left_in_the_graph(tiny_model: Model) -> None:
    kinds = {node.op_type for node in onnx.load(tiny_model.onnx).graph.node}
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds


def test_the_graph_names_the_plan_it_belongs_to(tiny_model: Model) -> None:
    properties = {entry.key: entry.value for entry in onnx.load(tiny_model.onnx).metadata_props}
    assert properties["segline.plan_digest"] == tiny_model.plan.digest


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("size", [(16, 16, 16), (2, 2, 2), (8, 20, 34), (48, 6, 10)])
def test_the_graph_runs_with_any_batch_and_any_multiple_of_the_stride(
    batch: int, size: tuple[int, int, int], tiny_model: Model
) -> None:
    session = onnxruntime.InferenceSession(tiny_model.onnx, providers=["CPUExecutionProvider"])
    windows = np.random.default_rng(0).random((batch, 1, *size), dtype=np.float32)
    (scores,) = session.run(["scores"], {"windows": windows})
    with torch.inference_mode():
        network = folded(load_network(tiny_model.weights, tiny_model.plan))
        wanted = network(torch.from_numpy(windows)).numpy()
    assert scores.shape == (batch, 2, *size)
    assert np.abs(scores - wanted).max() < 1e-4


def test_axes_with_different_strides_and_several_channels_are_exported(
    tiny_training: TinyTraining, val_cases: list[Case], tmp_path: Path
) -> None:
    plan = small_plan(network={"channels": [4, 8, 8], "strides": [[2, 2, 1], [2, 2, 2]]})
    weights = build_network(plan).state_dict()
    model = Model.write(tmp_path / "model", plan, weights, tiny_training.history)
    export_onnx(model, val_cases, patches=2)
    scores = open_backend("onnxruntime", model)(torch.rand(3, 1, 12, 8, 6))
    assert scores.shape == (3, 2, 12, 8, 6)


def test_the_sidecar_says_what_the_graph_was_made_from_and_how_it_was_checked(tiny_model: Model) -> None:
    sidecar = tiny_model.sidecar()
    assert sidecar.plan_digest == tiny_model.plan.digest
    assert sidecar.weights_sha256 == sha256_of_file(tiny_model.weights)
    assert sidecar.onnx_sha256 == sha256_of_file(tiny_model.onnx)
    assert sidecar.torch_version == torch.__version__
    assert sidecar.onnxruntime_version == onnxruntime.__version__
    assert sidecar.checked_patches == 8
    assert 0 < sidecar.max_abs_difference < 1e-4 < LARGEST_DIFFERENCE
    assert sidecar.label_agreement > 0.999


def test_exporting_prints_nothing(tiny_model: Model, tiny_index: CaseIndex, tmp_path: Path) -> None:
    model = unexported(tiny_model, tmp_path / "model")
    tiny_index.write(tmp_path / "cases.json")
    done = python("-c", EXPORT, model.folder, tmp_path / "cases.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert model.sidecar().checked_patches == 2


def test_the_same_weights_give_the_same_bytes(
    tiny_model: Model, val_cases: list[Case], tmp_path: Path
) -> None:
    model = unexported(tiny_model, tmp_path / "model")
    export_onnx(model, val_cases)
    assert contents(model) == contents(tiny_model)


def test_the_float16_graph_takes_and_gives_float32(tiny_model: Model) -> None:
    graph = onnx.load(tiny_model.onnx_float16).graph
    (windows,), (scores,) = graph.input, graph.output
    assert (windows.name, scores.name) == ("windows", "scores")
    assert windows.type.tensor_type.elem_type == scores.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert {weight.data_type for weight in graph.initializer} == {onnx.TensorProto.FLOAT16}
    assert [node.op_type for node in graph.node].count("Cast") == 2


@pytest.mark.parametrize("size", [(16, 16, 16), (8, 20, 34)])
def test_the_float16_graph_gives_nearly_pytorchs_scores(
    size: tuple[int, int, int], tiny_model: Model
) -> None:
    windows = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(tiny_model.onnx_float16, providers=["CPUExecutionProvider"])
    (scores,) = session.run(["scores"], {"windows": windows.numpy()})
    wanted = open_backend("pytorch", tiny_model)(windows).numpy()
    assert 0 < np.abs(scores - wanted).max() < 1e-2 * np.abs(wanted).max()


def test_the_sidecar_says_how_near_float16_is(tiny_model: Model) -> None:
    sidecar = tiny_model.sidecar()
    assert sidecar.float16 is not None
    assert sidecar.float16.onnx_sha256 == sha256_of_file(tiny_model.onnx_float16)
    assert sidecar.max_abs_difference < sidecar.float16.max_abs_difference < 0.1
    assert sidecar.float16.label_agreement > 0.999
    assert sidecar.no_float16 is None


@pytest.mark.parametrize("where", ["weights", "layers"])
def test_a_network_that_overflows_in_float16_is_exported_in_float32_alone(
    tiny_model: Model, val_cases: list[Case], tmp_path: Path, where: str
) -> None:
    model = tiny_model.copied_to(tmp_path / "model")
    state = load_network(model.weights, model.plan).state_dict()
    norm, factor = "model.0.conv.unit0.adn.N", 1e5 if where == "weights" else 5e3
    # the same function, or nearly, but between these layers it leaves float16's range, which ends at 65504
    state[f"{norm}.weight"] *= factor
    state[f"{norm}.bias"] = (
        state[f"{norm}.bias"] * factor if where == "weights" else torch.full_like(state[f"{norm}.bias"], 6e4)
    )
    state["model.0.conv.unit1.conv.weight"] /= factor
    save_weights(model.weights, state, model.plan)
    weights = folded(load_network(model.weights, model.plan)).parameters()
    largest = max(float(each.detach().abs().max()) for each in weights)
    assert (largest > 65504) == (where == "weights")
    sidecar = export_onnx(model, val_cases, patches=2)
    assert sidecar.float16 is None
    assert sidecar.no_float16 == "scores overflow in float16"
    assert not model.onnx_float16.exists()
    assert model.sidecar() == sidecar


def test_a_float16_graph_whose_labels_differ_too_much_is_not_kept(
    tiny_model: Model, val_cases: list[Case], tmp_path: Path
) -> None:
    model = tiny_model.copied_to(tmp_path / "model")
    state = load_network(model.weights, model.plan).state_dict()
    last_bias = [name for name in state if name.endswith("bias")][-1]
    state[last_bias] += 3000  # where float16 counts in steps of two
    save_weights(model.weights, state, model.plan)
    sidecar = export_onnx(model, val_cases, patches=2)
    assert sidecar.float16 is None
    assert sidecar.no_float16 is not None
    assert "of labels equal PyTorch's, fewer than 0.999" in sidecar.no_float16


def test_scores_that_are_not_numbers_are_refused_and_the_package_stays_as_it_was(
    tiny_model: Model, val_cases: list[Case], tmp_path: Path
) -> None:
    model = unexported(tiny_model, tmp_path / "model")
    state = load_network(model.weights, model.plan).state_dict()
    next(iter(state.values())).view(-1)[0] = torch.nan
    save_weights(model.weights, state, model.plan)
    before = contents(model)
    with pytest.raises(SeglineError, match=r"scores differ from PyTorch's by nan .* the graph was not kept"):
        export_onnx(model, val_cases, patches=2)
    assert contents(model) == before


def test_damaged_weights_are_refused(tiny_model: Model, val_cases: list[Case], tmp_path: Path) -> None:
    model = unexported(tiny_model, tmp_path / "model")
    model.weights.write_bytes(b"junk")
    with pytest.raises(SeglineError, match="not a readable weights file"):
        export_onnx(model, val_cases)


def test_a_package_that_is_not_installed_is_said(
    tiny_model: Model, val_cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SeglineError, match=r"export_onnx: .*onnxscript.*; pip install 'segline\[onnx\]'"):
        export_onnx(tiny_model, val_cases)


def test_the_comparison_counts_voxels_of_equal_class(tiny_model: Model, val_cases: list[Case]) -> None:
    in_torch, in_onnx = open_backend("pytorch", tiny_model), open_backend("onnxruntime", tiny_model)
    others = [in_onnx, in_torch, lambda windows: in_torch(windows).flip(1)]
    close, equal, other = compare_on_patches(in_torch, others, tiny_model.plan, val_cases, 3, MASKS)
    assert 0 < close.difference < 1e-4 and close.share == 1
    assert (equal.difference, equal.share) == (0, 1)
    assert other.difference > 1e-4 and other.share < 0.1
