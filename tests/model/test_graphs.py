"""Graphs of packages from anywhere, before a runtime has them."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from segline.common.errors import SeglineError
from segline.model.graphs import require_plain
from segline.model.package import Model

AXES = ["batch", 1, "x", "y", "z"]
WEIGHTS = numpy_helper.from_array(np.zeros((2, 1, 1, 1, 1), np.float32), "weights")
CONVOLUTION = helper.make_node("Conv", ["windows", "weights"], ["scores"])
HUGE = numpy_helper.from_array(np.array([2, 1, 1000, 1000, 1000], np.int64), "huge")


def graph_of(
    nodes: Sequence[Any], tensors: Sequence[Any] = (WEIGHTS,), axes: Sequence[Any] = AXES, **more: Any
) -> bytes:
    windows = helper.make_tensor_value_info("windows", TensorProto.FLOAT, axes)
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2, "x", "y", "z"])
    graph = helper.make_graph(nodes, "g", [windows], [scores], list(tensors), **more)
    content: bytes = helper.make_model(graph).SerializeToString()
    return content


def lying() -> TensorProto:
    return TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[2, 1, 1000, 1000, 1000])


def outside() -> TensorProto:
    tensor = TensorProto(
        name="weights", data_type=1, dims=[2, 1, 1, 1, 1], data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    return tensor


def sparse() -> Any:
    values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    return helper.make_sparse_tensor(values, indices, [2**31])


def functioned() -> bytes:
    model = onnx.load_from_string(graph_of([CONVOLUTION]))
    model.functions.add(name="F", domain="own")
    content: bytes = model.SerializeToString()
    return content


def doubly() -> bytes:
    return graph_of([CONVOLUTION]) * 2


BRANCH = onnx.load_from_string(graph_of([CONVOLUTION])).graph
CASES = {
    "a tensor without its data": (
        graph_of([CONVOLUTION], [lying()]),
        "a tensor of 2x1x1000x1000x1000 elements has",
    ),
    "data outside": (graph_of([CONVOLUTION], [outside()]), "a tensor's data lie outside the file"),
    "a constant without its data": (
        graph_of([helper.make_node("Constant", [], ["c"], value=lying()), CONVOLUTION]),
        "a tensor of 2x1x1000x1000x1000 elements has",
    ),
    "a tensor of nothing": (
        graph_of([helper.make_node("ConstantOfShape", ["huge"], ["c"]), CONVOLUTION], [WEIGHTS, HUGE]),
        "'ConstantOfShape' is no operator of an exported network",
    ),
    "constants alone": (
        graph_of(
            [helper.make_node("Resize", ["weights", "", "", "huge"], ["c"]), CONVOLUTION], [WEIGHTS, HUGE]
        ),
        "Resize computes from constants alone",
    ),
    "constants by another name": (
        graph_of(
            [
                helper.make_node("Identity", ["huge"], ["same"]),
                helper.make_node("Resize", ["weights", "", "", "same"], ["c"]),
            ],
            [WEIGHTS, HUGE],
        ),
        "Resize computes from constants alone",
    ),
    "a shape": (
        graph_of(
            [
                helper.make_node("Shape", ["windows"], ["shape"]),
                helper.make_node("Resize", ["weights", "", "", "shape"], ["c"]),
            ]
        ),
        "Resize computes from constants alone",
    ),
    "a huge input": (
        graph_of([CONVOLUTION], axes=[1, 1, 2000, 2000, 2000]),
        "1x1x2000x2000x2000 elements is",
    ),
    "a sparse tensor": (graph_of([CONVOLUTION], sparse_initializer=[sparse()]), "holds a sparse tensor"),
    "another's operator": (
        graph_of([helper.make_node("Conv", ["windows", "weights"], ["scores"], domain="com.other")]),
        "'Conv' is no operator",
    ),
    "a graph in a node": (
        graph_of([helper.make_node("Identity", ["windows"], ["scores"], body=BRANCH)]),
        "a node holds a graph",
    ),
    "functions": (functioned(), "holds functions of its own"),
    "two graphs": (doubly(), "no ONNX graph, or a damaged one"),
    "nothing": (b"", "no ONNX graph, or a damaged one"),
    "text": (b"hello world, this is no graph", "no ONNX graph, or a damaged one"),
    "a graph cut short": (graph_of([CONVOLUTION])[:-20], "no ONNX graph, or a damaged one"),
    "a number without end": (b"\xff" * 100, "no ONNX graph, or a damaged one"),
    "a field that others read as the graph": (b"\xba\x80\x80\x80\x20\x00", "no ONNX graph, or a damaged one"),
}


@pytest.mark.parametrize(("content", "told"), CASES.values(), ids=CASES)
def test_what_a_runtime_could_make_too_much_of_is_refused(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(SeglineError) as caught:
        require_plain(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and told in line and "; run export_onnx again" in line


def test_a_plain_graph_passes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_of([CONVOLUTION]))
    require_plain(path)


def test_exported_graphs_are_plain(tiny_model: Model) -> None:
    require_plain(tiny_model.onnx)
    require_plain(tiny_model.onnx_float16)


def test_whatever_is_damaged_is_one_line(tiny_model: Model, tmp_path: Path) -> None:
    content, draw, path = tiny_model.onnx.read_bytes(), random.Random(0), tmp_path / "model.onnx"
    for _ in range(300):
        damaged = bytearray(content)
        for at in draw.sample(range(len(damaged)), 20):
            damaged[at] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            require_plain(path)
        except SeglineError as error:
            assert "\n" not in str(error)
