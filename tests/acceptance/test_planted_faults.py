"""Backends that are wrong in ways that backends are: the gate must block each, and none that is right."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segline.acceptance.gate import judge
from segline.acceptance.verdict import Verdict
from segline.backends import Backend, Precision, open_backend
from segline.common.documents.names import EVALUATION
from segline.common.errors import SeglineError
from segline.data.cases.building import preprocess
from segline.data.cases.index import CaseIndex
from segline.data.manifest import Manifest
from segline.data.verification import verify
from segline.evaluation.masks.yardstick import MASKS
from segline.evaluation.scoring import evaluate
from segline.export.onnx import export_onnx
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume
from segline.model.package import Model
from segline.networks.folding import folded
from segline.networks.running import infer
from segline.networks.weights import load_network
from segline.plan import Plan, merged
from segline.storage.depot import Depot
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

from ..conftest import small_plan

pytestmark = pytest.mark.heavy

SHAPE = (28, 24, 20)
TRAIN, VAL, TEST = ["a", "b", "c"], ["d"], ["e", "f", "g", "h"]
INFERENCE = {"smallest_window": [16, 16, 16], "largest_window": [16, 16, 16], "overlap": [8, 8, 8]}

Compute = Callable[[Tensor], Tensor]
Judge = Callable[..., Verdict]


@dataclass(frozen=True)
class Planted:
    """A backend that computes in a way of its own."""

    compute: Compute
    precision: Precision = "float32"
    name: str = "planted"
    version: str = "1"

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """Whatever it was given to do, to tensors."""
        return self.compute(torch.from_numpy(windows)).numpy()


def two_channels(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A target that only the first channel shows, a decoy that only the second does: image and label."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0.3, 0.1, (2, *SHAPE)).astype(np.float32)
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    blobs = [
        np.linalg.norm((grid - (x, *rng.uniform(8, 12, 2))) / rng.uniform(4, 6, 3), axis=-1) < 1
        for x in rng.permutation([7, 20])
    ]
    for channel, blob in zip(image, blobs, strict=True):
        channel[blob] += 0.4
    return image, blobs[0].astype(np.uint8)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Eight cases of two channels."""
    folder = tmp_path_factory.mktemp("two") / "Two"
    names = [*TRAIN, *VAL, *TEST]
    for seed, name in enumerate(names):
        image, label = two_channels(seed)
        write_volume(folder / f"imagesTr/{name}.nii.gz", Volume(image, np.eye(4)))
        write_volume(folder / f"labelsTr/{name}.nii.gz", Volume(label[None], np.eye(4)))
    index = {
        "name": "two channels",
        "modality": {"0": "T1", "1": "T2"},
        "labels": {"0": "label0", "1": "label1"},
        "training": [{"image": f"imagesTr/{n}.nii.gz", "label": f"labelsTr/{n}.nii.gz"} for n in names],
    }
    (folder / "dataset.json").write_text(json.dumps(index))
    return verify(folder)


@pytest.fixture(scope="module")
def model(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A network that has learnt to tell the target from the decoy, exported."""
    folder = tmp_path_factory.mktemp("model")
    plan = small_plan(
        channels=2,
        dataset_digest=manifest.digest,
        inference=INFERENCE,
        training={"epochs": 120, "validations": 2},
        split={"train": TRAIN, "val": VAL, "test": TEST},
        gate={"required": ["pytorch"]},
    )
    depot = Depot.here(folder)
    index = CaseIndex.of(manifest, plan, depot, len(dict(preprocess(manifest, plan, depot, workers=1))))
    trainer = Trainer(plan, index.open(TRAIN), index.open(VAL), Checkpoint(folder / "checkpoint.pt"))
    history = trainer.run()
    written = Model.write(folder / "model", plan, trainer.best_weights, history)
    export_onnx(written, index.open(VAL))
    return written


@pytest.fixture(scope="module")
def judged(model: Model, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Judges a backend against PyTorch; ``plan`` is what it takes for the model's plan."""
    reference = tmp_path_factory.mktemp("reference")
    evaluate(model, open_backend("pytorch", model), manifest, reference).write(reference / EVALUATION)

    def judge_one(backend: Backend, plan: Plan = model.plan) -> Verdict:
        folder = tmp_path_factory.mktemp(backend.name)
        evaluation = evaluate(Model(model.folder, plan), backend, manifest, folder)
        evaluation.model_copy(update={"plan_digest": model.plan.digest}).write(folder / EVALUATION)
        return judge([reference, folder], model.plan.gate, MASKS)

    return judge_one


def mistaken(plan: Plan, **parts: Any) -> Plan:
    return Plan.parse(merged(plan.model_dump(mode="json"), parts), "plan")


def assert_blocked(verdict: Verdict, backend: str = "planted") -> None:
    """Every test case is a reason, and so is the mean over them."""
    assert not verdict.passed
    for case in TEST:
        assert any(reason.startswith(f"{backend} against pytorch, {case}: ") for reason in verdict.reasons)
    assert any("mean Dice not shown to be equal" in reason for reason in verdict.reasons)


def scaled(model: Model, factor: float) -> nn.Module:
    """The folded network with ``factor`` times its activations and scores, and so the same answer.

    Convolutions, PReLU, sums and concatenation are homogeneous: the weights that meet the image and all
    biases carry the factor through.
    """
    network = folded(load_network(model.weights, model.plan))
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            if name in ("model.0.conv.unit0.conv", "model.0.residual"):
                layer.weight.data *= factor
            if layer.bias is not None:
                layer.bias.data *= factor
    return network


def in_half(network: nn.Module, saturating: bool) -> Compute:
    """Computes in float16; too large a value is infinite, or the largest one where it saturates."""
    half = network.half()
    if saturating:
        for layer in half.modules():
            layer.register_forward_hook(lambda _layer, _inputs, output: output.clamp(-65504, 65504))
    return lambda windows: infer(half, windows.half()).float()


def test_the_model_tells_the_target_from_the_decoy(judged: Judge, model: Model) -> None:
    assert judged(open_backend("onnxruntime", model)).scalars["pytorch_mean_dice"] > 0.8


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_backend_that_is_right_passes(name: str, judged: Judge, model: Model) -> None:
    verdict = judged(open_backend(name, model))
    assert verdict.reasons == ()
    assert verdict.backends[1].equivalence and verdict.backends[1].equivalence.shown


def test_a_backend_that_swaps_the_channels_is_blocked(judged: Judge, model: Model) -> None:
    honest = open_backend("onnxruntime", model)
    assert_blocked(judged(Planted(lambda windows: honest(windows.flip(1)))))


def test_a_backend_that_clips_another_intensity_window_is_blocked(judged: Judge, model: Model) -> None:
    rules = [{"rule": "window", "window": [0, 1.5]}] * 2
    plan = mistaken(model.plan, preprocessing={"intensity": rules})
    assert_blocked(judged(Planted(open_backend("onnxruntime", model)), plan))


def test_a_backend_that_cuts_other_windows_is_blocked(judged: Judge, model: Model) -> None:
    small = {"smallest_window": [4, 4, 4], "largest_window": [4, 4, 4], "overlap": [0, 0, 0]}
    plan = mistaken(model.plan, inference=small)
    assert_blocked(judged(Planted(open_backend("onnxruntime", model)), plan))


def test_a_backend_that_puts_windows_back_a_voxel_off_is_blocked(judged: Judge, model: Model) -> None:
    honest = open_backend("onnxruntime", model)
    assert_blocked(judged(Planted(lambda windows: honest(windows).roll(1, dims=4))))


def test_float16_without_overflow_passes(judged: Judge, model: Model) -> None:
    assert judged(Planted(in_half(scaled(model, 1), saturating=False), "float16")).reasons == ()


def test_weights_that_overflow_float16_are_right_in_float32(judged: Judge, model: Model) -> None:
    network = scaled(model, 2.0**15)
    assert judged(Planted(lambda windows: infer(network, windows))).reasons == ()


def test_float16_that_saturates_is_blocked(judged: Judge, model: Model) -> None:
    assert_blocked(judged(Planted(in_half(scaled(model, 2.0**15), saturating=True), "float16")))


def test_float16_that_overflows_is_an_error_and_not_background(judged: Judge, model: Model) -> None:
    with pytest.raises(SeglineError, match="scores are not finite"):
        judged(Planted(in_half(scaled(model, 2.0**15), saturating=False), "float16"))
