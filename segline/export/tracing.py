"""A network's graph in ONNX, traced by PyTorch's exporter, with axes of any size."""

import io
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from segline.backends import onnx_runtime
from segline.plan import Plan

OPSET = 20
_ANY_BYTES = 2**40
_AXES = {0: "batch", 2: "x", 3: "y", 4: "z"}
_BATCHES = 2, 3
_BLOCKS = (4, 5, 6), (5, 6, 4)
"""Of the network's stride, along x, y and z."""
_OPEN = -1
"""In ONNX, an edge that follows from the others."""


def graph_of(network: nn.Module, plan: Plan) -> bytes:
    """The graph of a folded network, whose axes of batch and space are free, as a serialised ModelProto.

    Windows ``(N, C, x, y, z)`` float32 go in; scores ``(N, K, x, y, z)``, or ``(N, K)`` of classes, come out.
    A network that is for one size of window has a graph with a free batch alone. What is the same graph at
    two sizes is that of any; only what is not is traced with symbols for sizes, which takes three to four
    times as long as a trace without.
    """
    free = _free_axes(plan)
    examples = _examples(plan, free)
    model, other = (_traced(network, plan, windows) for windows in examples)
    _leave_open(model.graph, other.graph)
    for each in (model, other):
        _open_axes(each.graph, free)
    if model != other:
        model = _traced(network, plan, examples[0], _symbols(free))
        _open_axes(model.graph, free)
    entry = model.metadata_props.add()
    entry.key, entry.value = "segline.plan_digest", plan.digest
    return bytes(model.SerializeToString(deterministic=True))


def compute_constants(graph: Any) -> None:
    """Compute what follows from constants alone, such as where attention is masked, however large it is.

    The exporter leaves that to runtimes, and a package with such a graph is refused.
    """
    from onnxscript import optimizer

    optimizer.optimize_ir(graph, input_size_limit=_ANY_BYTES, output_size_limit=_ANY_BYTES)


def _free_axes(plan: Plan) -> dict[int, int]:
    """Axes of windows ``(N, C, x, y, z)`` that are free, each with what its size is a multiple of."""
    network = plan.network
    if network.needs_fixed_graph:
        return {0: 1}
    return {0: 1, **dict(enumerate(network.total_stride[: 2 if network.is_flat else 3], start=2))}


def _examples(plan: Plan, free: Mapping[int, int]) -> list[Tensor]:
    """Windows of two sizes, which differ along each free axis."""
    examples = []
    for batch, blocks in zip(_BATCHES, _BLOCKS, strict=True):
        edges = [
            free[axis] * count if axis in free else edge
            for axis, count, edge in zip((2, 3, 4), blocks, plan.training.patch_size, strict=True)
        ]
        examples.append(torch.zeros(batch, len(plan.channels), *edges))
    return examples


def _symbols(free: Mapping[int, int]) -> dict[int, Any]:
    """Sizes of free axes, for the exporter."""
    blocks = {axis: torch.export.Dim(f"blocks_{_AXES[axis]}") for axis in free}
    return {axis: step * blocks[axis] if step > 1 else blocks[axis] for axis, step in free.items()}


def _traced(network: nn.Module, plan: Plan, windows: Tensor, symbols: dict[int, Any] | None = None) -> Any:
    """The exporter's ModelProto, of windows of this size but for axes that have a symbol."""
    # with gradients every operation is traced twice
    with _quiet_exporter(), _operators_collected_once(), torch.no_grad():
        program = torch.onnx.export(
            network,
            (windows,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[onnx_runtime.INPUT],
            output_names=[onnx_runtime.OUTPUT],
            dynamic_shapes=(symbols or {},),
            external_data=False,
        )
    assert program is not None
    if plan.network.needs_fixed_graph:
        compute_constants(program.model)
    return program.model_proto


def _open_axes(graph: Any, free: Mapping[int, int]) -> None:
    """Name the free axes, and take out the sizes at which a graph was traced wherever it only tells them."""
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        for axis in free.keys() & set(range(len(dims))):  # a class has no place
            dims[axis].dim_param = _AXES[axis]
    del graph.value_info[:]
    # the exporter notes source files and object order here: neither belongs into an artifact
    for noted in (graph, *graph.node):
        noted.ClearField("metadata_props")


def _leave_open(one: Any, other: Any) -> None:
    """Of each shape that tensors are given, leave open the one edge that differs: the others decide it."""
    sizes, others = _shapes(one), _shapes(other)
    given: defaultdict[str, set[tuple[int, ...]]] = defaultdict(set)
    for node in one.node:
        for place, name in enumerate(node.input):
            made = node.output[0] if (node.op_type, place) == ("Reshape", 1) else ""
            pairs = zip(sizes.get(made, ()), others.get(made, ()), strict=False)
            given[name].add(tuple(a if a == b else _OPEN for a, b in pairs))
    for constant in (*one.initializer, *other.initializer):
        shape = min(given[constant.name], default=())
        if given[constant.name] == {shape} and shape.count(_OPEN) == 1:
            constant.raw_data = np.array(shape, np.int64).tobytes()


def _shapes(graph: Any) -> dict[str, list[int]]:
    """Of all that a graph makes, as it was traced."""
    made = (*graph.value_info, *graph.output)
    return {each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim] for each in made}


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's steps, warnings and regrets over torchvision's absence off the console."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    registration.addFilter(_not_about_torchvision)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        registration.removeFilter(_not_about_torchvision)


@contextmanager
def _operators_collected_once() -> Iterator[None]:
    """What the exporter reads from onnxscript's sources at each trace, for half a second, is read once."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with mock.patch.object(ONNXRegistry, "from_torchlib", _collected()):
        yield


@cache
def _collected() -> Any:
    """PyTorch's operators in ONNX, by version; an exporter only looks them up."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    return staticmethod(cache(ONNXRegistry.from_torchlib))


def _not_about_torchvision(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("torchvision is not installed")
