"""ONNX export: the folded network as a graph with free batch and spatial axes, checked by running it.

A network that is for one size of window has a graph with a free batch alone.
"""

import copy
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from segline.backends import REFERENCE, open_backend
from segline.common import atomic
from segline.common.digests import sha256_of_file
from segline.common.errors import SeglineError, imports_of
from segline.data.cases.case import Case
from segline.export.agreement import Agreement, compare_on_patches
from segline.export.tracing import OPSET, compute_constants, graph_of
from segline.inference.stitching import WindowScorer
from segline.machine.onnx_runtime import import_onnxruntime
from segline.model.package import Model
from segline.model.sidecars import LARGEST_DIFFERENCE, Float16Graph, OnnxSidecar
from segline.networks.folding import folded
from segline.networks.running import infer
from segline.networks.weights import load_network
from segline.training.objectives.masks import MASKS
from segline.training.objectives.objective import Objective


def export_onnx(
    model: Model, cases: Sequence[Case], patches: int = 8, objective: Objective = MASKS
) -> OnnxSidecar:
    """Write ``model.onnx`` and its sidecar into the package, once the graph has been checked elsewhere.

    Beside it ``model.fp16.onnx``, which computes in float16, unless its scores overflow or its labels are
    fewer than ``gate.reduced.agreement`` of PyTorch's; the sidecar then says so. A CPU finds both too, where
    whatever PyTorch computes is rounded: ONNX Runtime, which runs the graph, rounds no more than weights.

    Args:
        model: a package with weights.
        cases: real cases whose patches are run through PyTorch and ONNX Runtime.
        patches: how many of them.
        objective: of the training, which cuts them.

    Raises:
        SeglineError: a package is not installed, the weights cannot be used, or the graph does not give
            PyTorch's answer; the model package is then left as it was.
    """
    _require_packages()
    network = folded(load_network(model.weights, model.plan))
    graph = graph_of(network, model.plan)
    reduced = _in_float16(graph)
    with _trial(model, graph) as exact, _trial(model, reduced) as half:
        graphs = [open_backend("onnxruntime", each) for each in (exact, half)]
        others: list[WindowScorer] = [*graphs, _rounding(network)]
        in_float32, in_float16, rounded = compare_on_patches(
            open_backend(REFERENCE, model), others, model.plan, cases, patches, objective
        )
        if not in_float32.difference <= LARGEST_DIFFERENCE:  # so that NaN does not pass
            raise SeglineError(
                f"export_onnx: scores differ from PyTorch's by {in_float32.difference:.2g} "
                f"(allowed {LARGEST_DIFFERENCE:g}) on {patches} patches; the graph was not kept"
            )
        sidecar = in_float32.noted_in(exact.sidecar(), patches)
        sidecar = _with_float16(sidecar, half, in_float16, rounded)
    _keep(graph, model.onnx)
    if sidecar.float16:
        _keep(reduced, model.onnx_float16)
    else:
        model.onnx_float16.unlink(missing_ok=True)
    model.write_sidecar(sidecar)
    return sidecar


def _in_float16(graph: bytes) -> bytes:
    """A graph that computes in float16 between float32 windows and float32 scores.

    The types are part of it: what TensorRT calls strongly typed. A weight beyond float16's range, which ends
    at 65504, is taken to its end; what that does to the answers is for who runs it to find.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxscript import ir

    proto = convert_float_to_float16(
        onnx.load_from_string(graph), keep_io_types=True, disable_shape_infer=True, op_block_list=[]
    )
    del proto.graph.value_info[:]  # it says float16 of sizes too, which stay float32
    model = ir.from_proto(proto)
    model.graph.sort()  # casts were put behind the nodes that use them
    compute_constants(model)  # such as the sizes of a resize, cast there and back
    return bytes(ir.to_proto(model).SerializeToString(deterministic=True))


def _rounding(network: nn.Module) -> WindowScorer:
    """A network whose weights, and whatever is computed of them, are rounded to float16."""
    rounded = copy.deepcopy(network).half().float()

    def scores(windows: Tensor) -> Tensor:
        with _Rounding():
            return infer(rounded, windows)

    return scores


class _Rounding(TorchFunctionMode):
    """Every function of PyTorch gives what float16 can hold of its result, which is computed in float32.

    So do tensor cores; a CPU that has no arithmetic in float16 needs minutes for a patch in it.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        rounds = isinstance(result, Tensor) and result.dtype == torch.float32
        return result.half().float() if rounds else result


@contextmanager
def _trial(model: Model, graph: bytes) -> Iterator[Model]:
    """A copy of the package with ``graph``, which is valid, and a sidecar that a backend heeds."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        trial = model.copied_to(Path(folder, "trial"))
        trial.onnx.write_bytes(graph)
        onnx.checker.check_model(str(trial.onnx), full_check=True)
        trial.write_sidecar(_unchecked_sidecar(trial))
        yield trial


def _with_float16(sidecar: OnnxSidecar, trial: Model, found: Agreement, rounded: Agreement) -> OnnxSidecar:
    """The float32 graph's sidecar with that of the float16 graph, or with why there is none.

    ``rounded`` is what was found of PyTorch's scores, rounded; what was further from float32 counts.
    """
    both, least = (found, rounded), trial.plan.gate.reduced.agreement
    if not all(math.isfinite(each.difference) for each in both):
        return sidecar.model_copy(update={"no_float16": "scores overflow in float16"})
    agreement = min(each.share for each in both)
    if agreement < least:
        why = f"{agreement:.6f} of labels equal PyTorch's, fewer than {least:g}"
        return sidecar.model_copy(update={"no_float16": why})
    graph = Float16Graph(
        onnx_sha256=sha256_of_file(trial.onnx),
        max_abs_difference=max(each.difference for each in both),
        label_agreement=agreement,
    )
    return sidecar.model_copy(update={"float16": graph})


def _keep(graph: bytes, path: Path) -> None:
    with atomic.new_file(path) as scratch:
        scratch.write_bytes(graph)


def _unchecked_sidecar(model: Model) -> OnnxSidecar:
    return OnnxSidecar(
        plan_digest=model.plan.digest,
        weights_sha256=sha256_of_file(model.weights),
        onnx_sha256=sha256_of_file(model.onnx),
        opset=OPSET,
        torch_version=torch.__version__,
        onnxruntime_version=import_onnxruntime().__version__,
        checked_patches=0,
        max_abs_difference=0.0,
        label_agreement=0.0,
    )


def _require_packages() -> None:
    with imports_of("onnx", "export_onnx"):
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
