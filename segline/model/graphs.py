"""Exported graphs of packages from anywhere: what one may hold, seen in its bytes before any runtime has it.

Runtimes compute whatever follows from constants while they load: a graph of a hundred bytes may ask for a
tensor of any size. Read are ONNX's own protocol buffers (onnx/onnx.proto, field numbers below), without the
package ``onnx``, which is not there where a package is served.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path

from segline.common.errors import SeglineError
from segline.common.limits import require_fits
from segline.common.wording import by

OPERATORS = frozenset(
    (
        *("Add", "AveragePool", "BatchNormalization", "Cast", "Concat", "Constant", "Conv", "ConvTranspose"),
        *("Div", "Elu", "Expand", "Gather", "Gelu", "Gemm", "GroupNormalization", "Identity"),
        *("InstanceNormalization", "LayerNormalization", "LeakyRelu", "MatMul", "MaxPool", "Mul", "PRelu"),
        *("Pad", "ReduceMean", "Relu", "Reshape", "Resize", "Shape", "Sigmoid", "Slice", "Softmax"),
        *("Squeeze", "Sub", "Sum", "Tile", "Transpose"),
    )
)
"""What exported networks consist of; none makes a tensor of nothing, as ``ConstantOfShape`` does."""
_SMALL = ("Constant", "Identity", "Shape")
"""May have nothing but constants before them: they make nothing larger of them."""
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_SPARSE_INITIALIZER = 1, 5, 11, 15
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_TENSORS = (5, 10)
_ATTRIBUTE_REFUSED = {6: "graph", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"}
_TENSOR_DIMS, _TENSOR_NAME, _TENSOR_EXTERNAL_DATA, _TENSOR_LOCATION = 1, 8, 13, 14
_DIMS_OF_INPUT = (2, 1, 2, 1, 1)
"""``type.tensor_type.shape.dim.dim_value``; free axes have none."""
_NO_GRAPH = "no ONNX graph, or a damaged one"
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5
_HIGHEST_NUMBER = 2**29 - 1
_MOST_DIMS = 16
_MOST_INPUT_ELEMENTS = 2**24
"""Of an input whose axes are all given; exported ones are free, but for the channels."""
_ELEMENTS_A_BYTE = 4
"""Of the narrowest type, with two bits."""


def require_plain(graph: Path) -> None:
    """Refuse a graph of which a runtime could make more than its own file holds, or that needs other files.

    Each tensor must hold the elements that it claims, no node may compute from constants and shapes alone,
    and operators are those of exported networks. What such a graph computes of its windows is not bounded: a
    ``Resize``, ``Pad`` or ``Conv`` may still make large answers of them. Nor is it said that a runtime takes
    it.

    Raises:
        SeglineError: it is not plain, or no ONNX graph.
    """
    require_fits(graph.stat().st_size, str(graph))
    try:
        fault = _fault_of_model(memoryview(graph.read_bytes()))
    except (ValueError, IndexError):
        fault = _NO_GRAPH
    if fault:
        raise SeglineError(f"{graph}: {fault}; run export_onnx again, or do without the package")


def _fault_of_model(model: memoryview) -> str:
    """What is wrong with a ModelProto; empty if nothing is."""
    if _holds(model, _MODEL_FUNCTIONS):
        return "the graph holds functions of its own"
    graphs = list(_values(model, _MODEL_GRAPH))
    return _fault_of_graph(graphs[0]) if len(graphs) == 1 else _NO_GRAPH


def _fault_of_graph(graph: memoryview) -> str:
    if _holds(graph, _GRAPH_SPARSE_INITIALIZER):
        return "the graph holds a sparse tensor"
    initializers = list(_values(graph, _GRAPH_INITIALIZER))
    constants = {name for tensor in initializers for name in _texts(tensor, _TENSOR_NAME)}
    faults = (
        *map(_fault_of_input, _values(graph, _GRAPH_INPUT)),
        *map(_fault_of_tensor, initializers),
        *(_fault_of_node(node, constants) for node in _values(graph, _GRAPH_NODE)),
    )
    return next(filter(None, faults), "")


def _fault_of_input(value: memoryview) -> str:
    messages = [value]
    for number in _DIMS_OF_INPUT:
        messages = [inner for message in messages for inner in _values(message, number)]
    dims = [size for message in messages for size in _numbers(message)]
    if len(dims) > _MOST_DIMS or prod(dims) > _MOST_INPUT_ELEMENTS:
        return f"an input of {by(dims[:_MOST_DIMS])} elements is too large"
    return ""


def _fault_of_node(node: memoryview, constants: set[str]) -> str:
    """What is wrong with a NodeProto; what it makes of ``constants`` alone is added to them."""
    operator = "".join(_texts(node, _NODE_OPERATOR))
    if operator not in OPERATORS or "".join(_texts(node, _NODE_DOMAIN)) not in ("", "ai.onnx"):
        return f"{operator[:40]!a} is no operator of an exported network"
    for attribute in _values(node, _NODE_ATTRIBUTE):
        if fault := _fault_of_attribute(attribute):
            return fault
    known = not {*filter(None, _texts(node, _NODE_INPUT))} - constants
    if known and operator not in _SMALL:
        return f"{operator} computes from constants alone"
    if known or operator == "Shape":  # a shape may be known while a runtime loads
        constants |= set(_texts(node, _NODE_OUTPUT))
    return ""


def _fault_of_attribute(attribute: memoryview) -> str:
    for number, what in _ATTRIBUTE_REFUSED.items():
        if _holds(attribute, number):
            return f"a node holds a {what}"
    tensors = [tensor for number in _ATTRIBUTE_TENSORS for tensor in _values(attribute, number)]
    return next(filter(None, map(_fault_of_tensor, tensors)), "")


def _fault_of_tensor(tensor: memoryview) -> str:
    """What is wrong with a TensorProto."""
    location = [number for value in _values(tensor, _TENSOR_LOCATION) for number in _numbers(value)]
    if _holds(tensor, _TENSOR_EXTERNAL_DATA) or any(location):
        return "a tensor's data lie outside the file"
    dims = [number for value in _values(tensor, _TENSOR_DIMS) for number in _numbers(value)]
    if len(dims) > _MOST_DIMS or prod(dims) > _ELEMENTS_A_BYTE * len(tensor):
        return f"a tensor of {by(dims[:_MOST_DIMS])} elements has {len(tensor)} bytes"
    return ""


def _holds(message: memoryview, wanted: int) -> bool:
    return next(_values(message, wanted), None) is not None


def _texts(message: memoryview, wanted: int) -> Iterator[str]:
    return (bytes(value).decode() for value in _values(message, wanted))


def _values(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The bytes of each field of one number of a protocol buffer; a number's are those that encode it.

    Raises:
        ValueError, IndexError: it is no protocol buffer.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if number > _HIGHEST_NUMBER:  # runtimes would read the lower bits
            raise ValueError("no such field")
        start, at = _extent(message, at, wire_type)
        if at > len(message):
            raise ValueError("a field without end")
        if number == wanted:
            yield message[start:at]


def _extent(message: memoryview, at: int, wire_type: int) -> tuple[int, int]:
    """Where a field's value begins and ends."""
    if wire_type == _VARINT:
        return at, _varint(message, at)[1]
    if wire_type == _COUNTED:
        size, at = _varint(message, at)
        return at, at + size
    if wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
        return at, at + (8 if wire_type == _EIGHT_BYTES else 4)
    raise ValueError("no such field")


def _numbers(values: memoryview) -> list[int]:
    """One number, or several that are packed."""
    at, numbers = 0, list[int]()
    while at < len(values) and len(numbers) <= _MOST_DIMS:
        number, at = _varint(values, at)
        numbers.append(number)
    return numbers


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("a number without end")
