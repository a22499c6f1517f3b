"""Post-training quantisation: an int8 graph for CPUs, calibrated on real training patches."""

import io
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segline.backends import open_backend
from segline.backends.depth_to_space import with_depth_to_space
from segline.backends.open_vino import import_openvino, no_telemetry, openvino_core, plain_version
from segline.common import atomic
from segline.common.digests import sha256_of_file
from segline.common.errors import UnavailableError, imports_of
from segline.data.cases.case import Case
from segline.export.agreement import compare_on_patches
from segline.model.int8 import INT8_GRAPH, INT8_SIDECAR, INT8_WEIGHTS, Int8Sidecar
from segline.model.package import Model
from segline.plan import Plan
from segline.training.batches.patches import Sampler
from segline.training.objectives.masks import MASKS
from segline.training.objectives.objective import Objective

CHECKED_PATCHES = 8


def quantize(model: Model, cases: Sequence[Case], objective: Objective = MASKS) -> Int8Sidecar:
    """Write the int8 graph and its sidecar into the package; the same input gives the same bytes.

    Weights become symmetric int8, activations asymmetric. Kept in float32 are the transposed convolutions,
    for which OpenVINO has no int8 code on the CPU, those that read the windows and the last one. On seven
    cases of a spleen model, six of which it learned from, the root mean square error of scores near the
    border is 0.041; it was 0.054 with the last one in int8, which is no faster. Of an earlier model it was
    0.08, with symmetric activations 0.22, and NNCF's bias correction made either larger. Whether the answer
    is near enough is for the gate to say.

    Args:
        model: a package with an exported graph.
        cases: training cases, whose patches calibrate the ranges of the activations.
        objective: of the training, which cuts them.

    Raises:
        UnavailableError: the plan asks for no int8 graph, or a package is not installed.
        SeglineError: the exported graph is missing or not the package's own.
    """
    if model.plan.export.int8_patches == 0:
        raise UnavailableError("quantize: the plan asks for no int8 graph; set export.int8_patches")
    model.sidecar()
    with tempfile.TemporaryDirectory() as folder:
        trial = model.copied_to(Path(folder, "trial"))
        sidecar = _compared(trial, _written(trial, cases, objective), cases, objective)
        for name in (INT8_GRAPH, INT8_WEIGHTS):
            with atomic.new_file(model.folder / name) as scratch:
                shutil.copyfile(trial.folder / name, scratch)
    sidecar.write(model.folder / INT8_SIDECAR)
    return sidecar


@dataclass(frozen=True)
class _Patches:
    """Single patches ``(1, C, x, y, z)``, cut as they are asked for: NNCF goes through them several times."""

    sampler: Sampler
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[np.ndarray]:
        for step in range(self.count):
            yield self.sampler.batch(step)[0].numpy()


def _written(trial: Model, cases: Sequence[Case], objective: Objective) -> Int8Sidecar:
    """Quantise into ``trial``; the sidecar of what has not been compared yet."""
    openvino, plan = import_openvino("quantize"), trial.plan
    patches = plan.export.int8_patches
    sampler = objective.sampler(plan, cases, batch_size=1)
    graph = with_depth_to_space(openvino_core().read_model(str(trial.onnx)))
    with _nncf() as nncf:
        quantized = _quantized(nncf, graph, _Patches(sampler, patches), plan)
        nncf_version = nncf.__version__
    openvino.save_model(quantized, trial.folder / INT8_GRAPH, compress_to_fp16=False)
    return Int8Sidecar(
        plan_digest=plan.digest,
        onnx_sha256=sha256_of_file(trial.onnx),
        graph_sha256=sha256_of_file(trial.folder / INT8_GRAPH),
        weights_sha256=sha256_of_file(trial.folder / INT8_WEIGHTS),
        openvino_version=plain_version(openvino),
        nncf_version=nncf_version,
        calibration_patches=patches,
        checked_patches=0,
        max_abs_difference=0.0,
        label_agreement=0.0,
    )


def _compared(
    trial: Model, unchecked: Int8Sidecar, cases: Sequence[Case], objective: Objective
) -> Int8Sidecar:
    unchecked.write(trial.folder / INT8_SIDECAR)
    in_float32, in_int8 = open_backend("openvino", trial), open_backend("openvino_int8", trial)
    first = unchecked.calibration_patches
    [found] = compare_on_patches(in_float32, [in_int8], trial.plan, cases, CHECKED_PATCHES, objective, first)
    return found.noted_in(unchecked, CHECKED_PATCHES)


def _quantized(nncf: Any, graph: Any, patches: _Patches, plan: Plan) -> Any:
    _name_by_order(graph)
    quantized = nncf.quantize(
        graph,
        nncf.Dataset(patches),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(patches),
        ignored_scope=nncf.IgnoredScope(names=_kept_in_float(graph, plan)),
        advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
    )
    _name_by_order(quantized)
    return quantized


def _name_by_order(graph: Any) -> None:
    """OpenVINO names operations by a counter of the process: NNCF misses some, and the bytes would change."""
    for number, operation in enumerate(graph.get_ordered_ops()):
        does = operation.get_type_name()
        if does not in ("Parameter", "Result"):
            operation.set_friendly_name(f"{does}_{number}")


def _kept_in_float(graph: Any, plan: Plan) -> list[str]:
    """Names of convolutions: those that read the windows, the last of each network, and the transposed."""
    named = [(node.get_type_name(), node.get_friendly_name()) for node in graph.get_ordered_ops()]
    convolutions = [name for does, name in named if does == "Convolution"]
    each = len(convolutions) // plan.ensemble.count  # the networks follow one another
    kept = {*_readers(graph.inputs[0]), *convolutions[each - 1 :: each]}
    return [name for does, name in named if name in kept or does == "ConvolutionBackpropData"]


def _readers(windows: Any) -> set[str]:
    """Names of the convolutions between which and the windows there is no other."""
    ahead, seen, readers = [windows], set(), set()
    while ahead:
        for user in ahead.pop().get_target_inputs():
            node = user.get_node()
            does, name = node.get_type_name(), node.get_friendly_name()
            if does == "Convolution":
                readers.add(name)
            elif does not in ("ConvolutionBackpropData", "ShapeOf") and name not in seen:
                seen.add(name)
                ahead += node.outputs()
    return readers


@contextmanager
def _nncf() -> Iterator[Any]:
    """NNCF, with nothing of it on the console.

    Raises:
        UnavailableError: it is not installed.
    """
    with redirect_stdout(io.StringIO()):
        with imports_of("int8", "quantize", UnavailableError), no_telemetry():
            import nncf
        nncf.set_log_level(logging.ERROR)
        yield nncf
