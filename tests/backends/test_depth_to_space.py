"""Tests for the last level at half its resolution: the same scores, and nothing else is touched."""

from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from segline.backends.depth_to_space import with_depth_to_space
from segline.model.package import Model

ONES, TWOS = [1, 1, 1], [2, 2, 2]
FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}


def ending(
    classes: int = 2, kernel: int = 3, strides: list[int] = TWOS, slopes: int = 1, used_twice: bool = False
) -> openvino.Model:
    """That of a UNet whose level below the last has four channels."""
    drawn = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return ops.constant(drawn.standard_normal(shape).astype(np.float32))

    windows = ops.parameter(openvino.PartialShape([-1, 4, -1, -1, -1]), np.float32, name="windows")
    pads, more = [kernel // 2] * 3, [stride - 1 for stride in strides]
    up = ops.convolution_backprop_data(
        windows,
        normal(4, classes, *[kernel] * 3),
        strides,
        pads_begin=pads,
        pads_end=pads,
        output_padding=more,
    )
    voxels = ops.prelu(ops.add(up, normal(1, classes, 1, 1, 1)), normal(slopes, 1, 1, 1))
    at_full = ops.convolution(voxels, normal(classes, classes, *[kernel] * 3), ONES, pads, pads, ONES)
    scores = ops.add(at_full, normal(1, classes, 1, 1, 1))
    if used_twice:
        scores = ops.add(scores, voxels)
    scores.output(0).get_tensor().set_names({"scores"})
    return openvino.Model([scores], [windows], "ending")


def kinds(graph: openvino.Model) -> list[str]:
    return [node.get_type_name() for node in graph.get_ordered_ops()]


def answer(graph: openvino.Model, windows: np.ndarray) -> np.ndarray:
    scores: np.ndarray = openvino.Core().compile_model(graph, "CPU", FLOAT32)(windows)["scores"]
    return scores


@pytest.mark.parametrize("classes", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(1, 4, 1, 1, 1), (1, 4, 6, 5, 4), (3, 4, 2, 7, 9)])
def test_scores_are_those_of_the_graph_as_it_was(classes: int, shape: tuple[int, ...]) -> None:
    windows = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    wanted = answer(ending(classes), windows)
    changed = with_depth_to_space(ending(classes))
    assert "DepthToSpace" in kinds(changed)
    assert "ConvolutionBackpropData" not in kinds(changed)
    np.testing.assert_allclose(answer(changed, windows), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(
    "other",
    [
        {"classes": 7},
        {"kernel": 1},
        {"kernel": 5},
        {"strides": [2, 2, 1]},
        {"classes": 3, "slopes": 3},
        {"used_twice": True},
    ],
    ids=str,
)
def test_another_ending_stays(other: dict[str, Any]) -> None:
    assert kinds(with_depth_to_space(ending(**other))) == kinds(ending(**other))


def test_the_exported_graph_of_a_unet_is_changed(tiny_model: Model) -> None:
    graph = openvino.Core().read_model(str(tiny_model.onnx))
    before = kinds(graph).count("ConvolutionBackpropData")
    after = kinds(with_depth_to_space(graph))
    assert after.count("ConvolutionBackpropData") == before - 1
    assert after.count("DepthToSpace") == 1
