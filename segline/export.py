"""ONNX export: the folded network as a graph with free batch and spatial axes, checked by running it."""

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

import torch
from torch import Tensor, nn

from segline import atomic
from segline.backends import onnx_runtime, open_backend
from segline.cases import Case
from segline.digests import sha256_of_file
from segline.errors import SeglineError
from segline.model import Model, OnnxSidecar
from segline.networks import fold_batch_norm, load_network
from segline.plan import Plan
from segline.sampling import PatchSampler

OPSET = 20
LARGEST_DIFFERENCE = 1e-3
"""Of class scores, float32; a UNet's rounding stays some 50 times below."""


def export_onnx(model: Model, cases: Sequence[Case], patches: int = 8) -> OnnxSidecar:
    """Write ``model.onnx`` and its sidecar into the package.

    Args:
        model: a package with weights.
        cases: real cases whose patches are run through PyTorch and ONNX Runtime.
        patches: how many of them.

    Raises:
        SeglineError: the graph does not give PyTorch's answer; nothing is kept.
    """
    import onnx
    import onnxruntime

    network = fold_batch_norm(load_network(model.weights, model.plan))
    with atomic.new_file(model.onnx) as scratch:
        scratch.write_bytes(_graph_bytes(network, model.plan))
        onnx.checker.check_model(str(scratch), full_check=True)
    unchecked = OnnxSidecar(
        plan_digest=model.plan.digest,
        weights_sha256=sha256_of_file(model.weights),
        onnx_sha256=sha256_of_file(model.onnx),
        opset=OPSET,
        torch_version=torch.__version__,
        onnxruntime_version=onnxruntime.__version__,
        checked_patches=0,
        max_abs_difference=0.0,
        label_agreement=0.0,
    )
    model.write_sidecar(unchecked)
    difference, agreement = compare_on_patches(model, cases, patches)
    if difference > LARGEST_DIFFERENCE:
        model.onnx.unlink()
        raise SeglineError(
            f"export_onnx: scores differ from PyTorch's by {difference:.2g} (allowed {LARGEST_DIFFERENCE:g}) "
            f"on {patches} patches; the graph was not kept"
        )
    measured = {"checked_patches": patches, "max_abs_difference": difference, "label_agreement": agreement}
    sidecar = unchecked.model_copy(update=measured)
    model.write_sidecar(sidecar)
    return sidecar


def compare_on_patches(model: Model, cases: Sequence[Case], patches: int) -> tuple[float, float]:
    """Largest absolute score difference and share of equal classes, ONNX Runtime against PyTorch."""
    reference, exported = open_backend("pytorch", model), open_backend("onnxruntime", model)
    sampler = PatchSampler(cases, model.plan.training.patch_size, 2, 3.0, model.plan.seed)
    largest, same, voxels = 0.0, 0, 0
    for step in range(-(-patches // 2)):
        image, _ = sampler.batch(step)
        wanted, got = reference(image), exported(image)
        largest = max(largest, float((wanted - got).abs().max()))
        equal: Tensor = wanted.max(dim=1).indices == got.max(dim=1).indices
        same, voxels = same + int(equal.sum()), voxels + equal.numel()
    return largest, same / voxels


def _graph_bytes(network: nn.Module, plan: Plan) -> bytes:
    x, y, z = (4 * stride for stride in plan.network.total_stride)
    example = torch.zeros(2, len(plan.channels), x, y, z)
    sizes = [
        stride * torch.export.Dim(f"blocks_{axis}")
        for axis, stride in zip("xyz", plan.network.total_stride, strict=True)
    ]
    batch = torch.export.Dim("batch")
    # the exporter reports its steps on standard output
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[onnx_runtime.INPUT],
            output_names=[onnx_runtime.OUTPUT],
            dynamic_shapes=({0: batch, 2: sizes[0], 3: sizes[1], 4: sizes[2]},),
            external_data=False,
        )
    assert program is not None
    graph = program.model_proto
    entry = graph.metadata_props.add()
    entry.key, entry.value = "segline.plan_digest", plan.digest
    return bytes(graph.SerializeToString())
