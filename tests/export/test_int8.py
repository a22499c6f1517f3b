import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segline.backends import open_backend
from segline.backends.open_vino import openvino_core
from segline.common.digests import sha256_of_file
from segline.common.errors import SeglineError, UnavailableError
from segline.data.cases.case import Case
from segline.data.cases.index import CaseIndex
from segline.export.agreement import compare_on_patches
from segline.export.int8 import CHECKED_PATCHES, quantize
from segline.export.onnx import export_onnx
from segline.model.int8 import INT8_GRAPH, INT8_SIDECAR, INT8_WEIGHTS, Int8Sidecar
from segline.model.package import Model
from segline.networks.catalogue import build_network
from segline.plan import Plan
from segline.training.objectives.masks import MASKS

from ..conftest import TinyTraining, small_plan

F32 = {"INFERENCE_PRECISION_HINT": "f32"}
PARTS = (INT8_GRAPH, INT8_WEIGHTS, INT8_SIDECAR)

QUANTIZE = """
import sys
from pathlib import Path
from segline.data.cases.index import CaseIndex
from segline.model.package import Model
from segline.export.int8 import quantize

model = Model.open(Path(sys.argv[1]))
quantize(model, CaseIndex.read(Path(sys.argv[2])).open(model.plan.split.train))
"""


@pytest.fixture
def train_cases(tiny_plan: Plan, tiny_index: CaseIndex) -> list[Case]:
    return tiny_index.open(tiny_plan.split.train)


@pytest.fixture
def model(int8_model: Model, tmp_path: Path) -> Model:
    return int8_model.copied_to(tmp_path / "model")


def contents(model: Model) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in model.folder.iterdir()}


def refusal(model: Model) -> str:
    with pytest.raises(SeglineError) as caught:
        open_backend("openvino_int8", model)
    assert not isinstance(caught.value, UnavailableError)
    return str(caught.value)


def test_the_sidecar_says_what_the_graph_was_made_from_and_how_near_it_is(int8_model: Model) -> None:
    sidecar = Int8Sidecar.read(int8_model.folder / INT8_SIDECAR)
    assert sidecar.plan_digest == int8_model.plan.digest
    assert sidecar.onnx_sha256 == int8_model.sidecar().onnx_sha256
    assert sidecar.graph_sha256 == sha256_of_file(int8_model.folder / INT8_GRAPH)
    assert sidecar.weights_sha256 == sha256_of_file(int8_model.folder / INT8_WEIGHTS)
    assert sidecar.openvino_version[0].isdigit()
    assert sidecar.nncf_version[0].isdigit()
    assert sidecar.calibration_patches == int8_model.plan.export.int8_patches == 8
    assert sidecar.checked_patches == CHECKED_PATCHES
    assert 1e-4 < sidecar.max_abs_difference < 5
    assert 0.99 < sidecar.label_agreement <= 1


def test_convolutions_between_those_that_read_the_windows_and_the_last_compute_in_int8(
    int8_model: Model,
) -> None:
    graph = openvino_core().compile_model(int8_model.folder / INT8_GRAPH, "CPU", F32).get_runtime_model()
    layers = [layer.get_rt_info() for layer in graph.get_ordered_ops()]
    found = [(info["layerType"].astype(str), info["runtimePrecision"].astype(str)) for info in layers]
    convolutions = [precision for kind, precision in found if kind == "Convolution"]
    reading = 2  # the way around a residual unit, and the first on the way through it
    assert convolutions[:reading] == ["f32"] * reading
    assert convolutions[-1] == "f32"
    assert convolutions[reading:-1]
    assert set(convolutions[reading:-1]) <= {"u8", "i8"}


def test_the_same_input_gives_the_same_bytes_in_one_process_and_in_another(
    int8_model: Model, model: Model, tiny_index: CaseIndex, train_cases: list[Case], tmp_path: Path
) -> None:
    wanted = contents(int8_model)
    quantize(model, train_cases)
    assert contents(model) == wanted
    for name in PARTS:
        (model.folder / name).unlink()
    run_alone(model, tiny_index, tmp_path)
    assert contents(model) == wanted


def run_alone(model: Model, index: CaseIndex, folder: Path) -> subprocess.CompletedProcess[str]:
    """Quantise in a process of its own whose home is ``folder / "home"``."""
    index.write(folder / "cases.json")
    (folder / "home").mkdir()
    return subprocess.run(
        [sys.executable, "-c", QUANTIZE, str(model.folder), str(folder / "cases.json")],
        env={**os.environ, "HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=True,
    )


def test_quantising_prints_nothing_and_reports_to_nobody(
    model: Model, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    done = run_alone(model, tiny_index, tmp_path)
    assert done.stdout == done.stderr == ""
    assert not (tmp_path / "home" / "intel").exists()  # where NNCF's reports to its makers are kept


def test_importing_segline_and_its_int8_backend_imports_no_nncf() -> None:
    code = (
        "import sys, segline.backends.open_vino_int8; sys.exit(bool({'nncf', 'openvino'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_plan_that_asks_for_no_int8_graph_gets_none(
    tiny_training: TinyTraining, train_cases: list[Case], tmp_path: Path
) -> None:
    plan = small_plan()
    model = Model.write(tmp_path / "model", plan, build_network(plan).state_dict(), tiny_training.history)
    with pytest.raises(UnavailableError, match=r"asks for no int8 graph; set export\.int8_patches$"):
        quantize(model, train_cases)


@pytest.mark.parametrize("units", [0, 1])
def test_networks_of_other_shapes_are_quantised(
    units: int, tiny_training: TinyTraining, train_cases: list[Case], tmp_path: Path
) -> None:
    network = {"channels": [4, 8, 8], "strides": [[2, 2, 1], [2, 2, 2]], "residual_units": units}
    plan = small_plan(network=network, export={"int8_patches": 2})
    torch.manual_seed(0)
    model = Model.write(tmp_path / "model", plan, build_network(plan).state_dict(), tiny_training.history)
    export_onnx(model, train_cases, patches=2)
    quantize(model, train_cases)
    assert open_backend("openvino_int8", model)(torch.rand(3, 1, 12, 8, 6)).shape == (3, 2, 12, 8, 6)


def test_what_was_not_exported_cannot_be_quantised(model: Model, train_cases: list[Case]) -> None:
    model.onnx.unlink()
    with pytest.raises(SeglineError, match="run export_onnx first"):
        quantize(model, train_cases)


@pytest.mark.parametrize(("package", "extra"), [("nncf", "int8"), ("openvino", "openvino")])
def test_a_package_that_is_not_installed_is_said_and_the_model_stays_as_it_was(
    package: str, extra: str, model: Model, train_cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(model)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnavailableError, match=rf"{package}.*; pip install 'segline\[{extra}\]'"):
        quantize(model, train_cases)
    assert contents(model) == before


@pytest.mark.parametrize("name", [INT8_GRAPH, INT8_WEIGHTS])
def test_a_part_that_was_changed_is_refused(name: str, model: Model) -> None:
    part = model.folder / name
    part.write_bytes(part.read_bytes() + b"\0")
    assert refusal(model) == f"{part}: changed after quantize; run quantize again"


@pytest.mark.parametrize("name", [INT8_GRAPH, INT8_WEIGHTS])
def test_a_part_that_is_missing_is_refused(name: str, model: Model) -> None:
    (model.folder / name).unlink()
    assert "run quantize again" in refusal(model)


@pytest.mark.parametrize("field", ["plan_digest", "onnx_sha256"])
def test_a_graph_of_another_plan_or_network_is_refused(field: str, model: Model) -> None:
    path = model.folder / INT8_SIDECAR
    Int8Sidecar.read(path).model_copy(update={field: "0" * 64}).write(path)
    assert "another plan or exported graph; run quantize again" in refusal(model)


def test_patches_of_the_check_are_others_than_those_of_the_calibration(
    int8_model: Model, train_cases: list[Case]
) -> None:
    sidecar = Int8Sidecar.read(int8_model.folder / INT8_SIDECAR)
    reference, others = open_backend("openvino", int8_model), [open_backend("openvino_int8", int8_model)]
    given = int8_model.plan, train_cases, CHECKED_PATCHES, MASKS
    [measured] = compare_on_patches(reference, others, *given, first=8)
    assert (measured.difference, measured.share) == (sidecar.max_abs_difference, sidecar.label_agreement)
