import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.blocks import ResidualUnit
from torch import Tensor, nn

from segline.common.errors import SeglineError
from segline.networks.catalogue import build_network
from segline.networks.folding import folded
from segline.networks.memory import training_bytes
from segline.networks.on_cpu import quicken
from segline.networks.running import channels_last
from segline.networks.weights import load_network, save_weights
from segline.plan import Plan

from ..conftest import small_plan

pytestmark = pytest.mark.heavy

ANISOTROPIC = {"channels": [4, 8, 8], "strides": [[2, 2, 1], [2, 2, 2]]}

MEASURE = """
import json, sys
from segline.machine.memory import peak_memory_bytes
import torch
from segline.networks.catalogue import build_network
from segline.networks.running import channels_last
from segline.plan import Plan

def train(plan):
    from monai.losses import DiceCELoss
    network = channels_last(build_network(plan))
    average = torch.optim.swa_utils.AveragedModel(network, use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    size = plan.training.batch_size, 1, *plan.training.patch_size
    image, label = torch.randn(size), torch.randint(0, 2, size, dtype=torch.uint8)
    for _ in range(2):
        scores = network(image.contiguous(memory_format=torch.channels_last_3d))
        loss(scores, label).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update_parameters(network)

first, *plans = [Plan.parse(plan, "plan") for plan in json.load(sys.stdin)]
train(first)
before, measured = peak_memory_bytes(), []
for plan in plans:
    train(plan)
    measured.append(peak_memory_bytes() - before)
print(json.dumps(measured))
"""


def windows(plan: Plan, batch: int = 2, blocks: int = 2) -> Tensor:
    size = [blocks * stride for stride in plan.network.total_stride]
    return torch.randn(batch, len(plan.channels), *size, generator=torch.Generator().manual_seed(0))


def seasoned_network(plan: Plan) -> nn.Module:
    """A network whose BatchNorms have seen something, so that folding them matters."""
    torch.manual_seed(0)
    network = build_network(plan).train()
    for _ in range(3):
        network(3 * windows(plan, batch=4, blocks=4) + 1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    return network.eval()


def refusal(path: Path, plan: Plan) -> str:
    with pytest.raises(SeglineError) as caught:
        load_network(path, plan)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("labels", [2, 5])
def test_there_is_one_score_a_class_and_voxel_for_any_number_of_channels(channels: int, labels: int) -> None:
    plan = small_plan(channels, labels)
    scores = build_network(plan)(windows(plan))
    assert scores.shape == (2, labels, *windows(plan).shape[2:])


def test_axes_may_be_halved_at_different_levels() -> None:
    plan = small_plan(network=ANISOTROPIC)
    image = windows(plan, blocks=3)
    assert image.shape[2:] == (12, 12, 6)
    assert build_network(plan)(image).shape == (2, 2, 12, 12, 6)


@pytest.mark.parametrize("network", [{}, ANISOTROPIC, {"residual_units": 0}, {"residual_units": 1}])
def test_folding_batch_norm_leaves_the_scores_and_no_batch_norm(network: dict[str, Any]) -> None:
    plan = small_plan(2, 3, network=network)
    original = seasoned_network(plan)
    image = windows(plan, blocks=4)
    with torch.inference_mode():
        wanted = original(image)
        quicker = folded(original)
        assert (quicker(image) - wanted).abs().max() < 1e-4
        assert torch.equal(original(image), wanted)
    assert not [module for module in quicker.modules() if isinstance(module, nn.BatchNorm3d)]
    assert [module for module in original.modules() if isinstance(module, nn.BatchNorm3d)]


def test_what_is_added_around_a_bare_convolution_becomes_part_of_it() -> None:
    """That of the last level, at full resolution; units of more layers keep their sums."""
    plan = small_plan(2, 3)
    original = seasoned_network(plan)
    units = [[type(part) for part in network.modules()] for network in (original, folded(original))]
    assert units[0].count(ResidualUnit) == units[1].count(ResidualUnit) + 1


def test_folding_leaves_instance_norms_as_they_are() -> None:
    plan = small_plan(network={"norm": "instance"})
    network = build_network(plan).eval()
    quicker = folded(network)
    norms = [
        sum(isinstance(layer, nn.InstanceNorm3d) for layer in one.modules()) for one in (network, quicker)
    ]
    assert norms[0] == norms[1] > 0
    with torch.inference_mode():
        assert torch.allclose(quicker(windows(plan)), network(windows(plan)), atol=1e-5)


def test_the_layout_with_channels_last_does_not_change_the_scores() -> None:
    plan = small_plan(2)
    network = seasoned_network(plan)
    with torch.inference_mode():
        wanted = network(windows(plan))
        assert torch.allclose(channels_last(network)(windows(plan)), wanted, atol=1e-5)


def test_saved_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    plan = small_plan()
    saved = seasoned_network(plan).state_dict()
    save_weights(tmp_path / "weights.pt", saved, plan)
    network = load_network(tmp_path / "weights.pt", plan)
    assert not network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, saved[name]), name


def test_weights_of_another_plan_are_refused(tmp_path: Path) -> None:
    plan, other = small_plan(), small_plan(seed=1)
    save_weights(tmp_path / "weights.pt", build_network(plan).state_dict(), plan)
    line = refusal(tmp_path / "weights.pt", other)
    assert plan.digest[:12] in line
    assert other.digest[:12] in line


def test_weights_that_do_not_fit_the_network_are_refused(tmp_path: Path) -> None:
    plan = small_plan()
    state = build_network(small_plan(network={"channels": [8, 16]})).state_dict()
    save_weights(tmp_path / "weights.pt", state, plan)
    assert "do not fit the plan's network" in refusal(tmp_path / "weights.pt", plan)


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_cut_off_weights_file_is_refused(keep: int, tmp_path: Path) -> None:
    plan, path = small_plan(), tmp_path / "weights.pt"
    save_weights(path, build_network(plan).state_dict(), plan)
    path.write_bytes(path.read_bytes()[:keep])
    assert "not a readable weights file" in refusal(path, plan)


def test_a_missing_weights_file_is_refused(tmp_path: Path) -> None:
    assert "not a readable weights file" in refusal(tmp_path / "weights.pt", small_plan())


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "weights.pt")
    assert "not a segline weights file" in refusal(tmp_path / "weights.pt", small_plan())


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [torch.save, lambda trap, path: path.write_bytes(pickle.dumps(trap))])
def test_code_in_a_weights_file_is_not_executed(write: Any, tmp_path: Path) -> None:
    write(Trap(tmp_path / "sprung"), tmp_path / "weights.pt")
    assert "not a readable weights file" in refusal(tmp_path / "weights.pt", small_plan())
    assert not (tmp_path / "sprung").exists()


def test_the_memory_estimate_is_within_a_factor_of_two_of_a_real_training_step() -> None:
    plans = [
        small_plan(
            network={"channels": [16, 32, 64, 128, 256], "strides": [[2, 2, 2]] * 4},
            training={"patch_size": [size] * 3},
            inference={"smallest_window": [size] * 3, "largest_window": [size] * 3},
        )
        for size in (64, 96)
    ]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        input=json.dumps([plan.model_dump(mode="json") for plan in (small_plan(), *plans)]),
        capture_output=True,
        text=True,
        check=True,
    )
    for plan, measured in zip(plans, json.loads(done.stdout), strict=True):
        assert 0.5 < training_bytes(plan) / measured < 2, plan.training.patch_size


def test_the_memory_estimate_itself_takes_no_memory() -> None:
    enormous = small_plan(training={"patch_size": [65536] * 3})
    assert training_bytes(enormous) > 2**50


def test_quickened_layers_give_the_same_scores_and_gradients() -> None:
    plan = small_plan(labels=3)
    torch.manual_seed(0)
    slow = channels_last(build_network(plan)).train()
    quick = quicken(copy.deepcopy(slow))
    assert {type(layer) for layer in quick.modules()} != {type(layer) for layer in slow.modules()}
    windows = torch.randn(2, 1, 16, 16, 16).contiguous(memory_format=torch.channels_last_3d)
    wanted, found = slow(windows), quick(windows)
    torch.testing.assert_close(found, wanted)
    for scores in (wanted, found):
        (scores * torch.linspace(-1, 1, scores.numel()).view_as(scores)).sum().backward()
    for (name, weight), other in zip(slow.named_parameters(), quick.parameters(), strict=True):
        torch.testing.assert_close(other.grad, weight.grad, atol=1e-2, rtol=1e-3, msg=name)
    states = (quick.state_dict(), slow.state_dict())
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], msg=name)


@pytest.mark.parametrize(("edge", "kernel"), [(1, 3), (2, 3), (4, 3), (2, 5), (4, 5)])
def test_in_bfloat16_a_kernel_longer_than_its_features_gets_its_gradient(edge: int, kernel: int) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv3d(32, 16, kernel, padding=kernel // 2, bias=False))
    quick = quicken(copy.deepcopy(plain))
    features = torch.randn(3, 32, edge, 4, 4)
    for network, half in ((plain, False), (quick, True)):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            scores = network(features).float()
        (scores * torch.linspace(-1, 1, scores.numel()).view_as(scores)).sum().backward()
    wanted, found = (next(network.parameters()).grad for network in (plain, quick))
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()
