"""ONNX export: the folded network as a graph with free batch and spatial axes, checked by running it."""

import importlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

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
    """Write ``model.onnx`` and its sidecar into the package, once the graph has been checked elsewhere.

    Args:
        model: a package with weights.
        cases: real cases whose patches are run through PyTorch and ONNX Runtime.
        patches: how many of them.

    Raises:
        SeglineError: a package is not installed, the weights cannot be used, or the graph does not give
            PyTorch's answer; the model package is then left as it was.
    """
    _require_packages()
    import onnx

    network = fold_batch_norm(load_network(model.weights, model.plan))
    with tempfile.TemporaryDirectory() as folder:
        trial = model.copied_to(Path(folder, "trial"))
        trial.onnx.write_bytes(_graph_bytes(network, model.plan))
        onnx.checker.check_model(str(trial.onnx), full_check=True)
        unchecked = _unchecked_sidecar(trial)
        trial.write_sidecar(unchecked)
        difference, agreement = compare_on_patches(trial, cases, patches)
        if not difference <= LARGEST_DIFFERENCE:  # so that NaN does not pass
            raise SeglineError(
                f"export_onnx: scores differ from PyTorch's by {difference:.2g} "
                f"(allowed {LARGEST_DIFFERENCE:g}) on {patches} patches; the graph was not kept"
            )
        with atomic.new_file(model.onnx) as scratch:
            scratch.write_bytes(trial.onnx.read_bytes())
    measured = {"checked_patches": patches, "max_abs_difference": difference, "label_agreement": agreement}
    sidecar = unchecked.model_copy(update=measured)
    model.write_sidecar(sidecar)
    return sidecar


def compare_on_patches(model: Model, cases: Sequence[Case], patches: int) -> tuple[float, float]:
    """Largest absolute score difference and share of equal classes, ONNX Runtime against PyTorch.

    The difference is NaN where a score is.

    Raises:
        SeglineError: the package's graph or weights cannot be opened.
    """
    reference, exported = open_backend("pytorch", model), open_backend("onnxruntime", model)
    sampler = PatchSampler(cases, model.plan.training.patch_size, 2, 3.0, model.plan.seed)
    largest, same, voxels = torch.zeros(()), 0, 0
    for step in range(-(-patches // 2)):
        image, _ = sampler.batch(step)
        wanted, got = reference(image), exported(image)
        largest = torch.maximum(largest, (wanted - got).abs().max())
        equal: Tensor = wanted.max(dim=1).indices == got.max(dim=1).indices
        same, voxels = same + int(equal.sum()), voxels + equal.numel()
    return float(largest), same / voxels


def _unchecked_sidecar(model: Model) -> OnnxSidecar:
    import onnxruntime

    return OnnxSidecar(
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


def _graph_bytes(network: nn.Module, plan: Plan) -> bytes:
    x, y, z = (4 * stride for stride in plan.network.total_stride)
    example = torch.zeros(2, len(plan.channels), x, y, z)
    sizes = [
        stride * torch.export.Dim(f"blocks_{axis}")
        for axis, stride in zip("xyz", plan.network.total_stride, strict=True)
    ]
    batch = torch.export.Dim("batch")
    with _quiet_exporter():
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
    proto = program.model_proto
    # the exporter notes source files and object order here: neither belongs into an artifact
    for noted in (proto.graph, *proto.graph.node, *proto.graph.value_info):
        noted.ClearField("metadata_props")
    entry = proto.metadata_props.add()
    entry.key, entry.value = "segline.plan_digest", plan.digest
    return bytes(proto.SerializeToString(deterministic=True))


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


def _not_about_torchvision(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("torchvision is not installed")


def _require_packages() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise SeglineError(
                f"export_onnx: {name} cannot be imported ({error}); pip install 'segline[onnx]'"
            ) from error
