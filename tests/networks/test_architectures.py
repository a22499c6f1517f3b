"""Every network by name: what it is built of, and what its settings claim of it."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segline.networks.catalogue import build_network, build_network_to_train, build_without_memory
from segline.networks.folding import folded
from segline.networks.running import channels_last, infer
from segline.plan import NETWORKS, Plan
from segline.planning.proposals import accepted_patch, propose_network

from ..conftest import small_plan

pytestmark = pytest.mark.heavy

FLAT = [name for name, network in NETWORKS.items() if network.answers == "classes"]
SETTINGS = [(name, {}) for name in NETWORKS] + [(name, {"spatial_dims": 2}) for name in FLAT]
QUICK = [
    ("dynunet", {"channels": [4, 8, 8], "strides": [[2, 2, 2]] * 2, "norm": "batch"}),
    ("dynunet", {"channels": [4, 8, 8], "strides": [[2, 2, 2]] * 2, "residual": True}),
    ("attention_unet", {"channels": [4, 8]}),
    ("basic_unet", {"features": [4, 4, 8, 8, 8, 4]}),
    ("vnet", {}),
    ("highresnet", {"repeats": 1}),
    ("swin_unetr", {"feature_size": 12, "depths": [2, 1, 1, 1]}),
    *((name, {"spatial_dims": 2}) for name in ("densenet121", "efficientnet-b0", "resnet18")),
    ("resnet10", {"spatial_dims": 3}),
]


def planned(name: str, settings: dict[str, Any], edge: int = 16, labels: int = 3) -> Plan:
    """A plan with this network, and a patch of at least this edge; a square for one that sees images."""
    flat = settings.get("spatial_dims") == 2
    asked = (edge, edge, 1 if flat else edge)
    values = {**propose_network(asked, name), **settings}
    patch = accepted_patch(asked, NETWORKS[name].model_validate(values))
    windows = {"smallest_window": patch, "largest_window": patch, "overlap": (0, 0, 0)}
    content = small_plan(labels=labels).model_dump(mode="json")
    training = {**content["training"], "patch_size": patch}
    return Plan.parse({**content, "network": values, "training": training, "inference": windows}, "plan")


def images(plan: Plan, device: str = "cpu") -> Tensor:
    return torch.rand(2, 1, *plan.training.patch_size, device=device)


def kept_floats(network: nn.Module, windows: Tensor) -> float:
    """Numbers that torch keeps for the way back, besides weights."""
    weights = {weight.untyped_storage()._cdata for weight in network.parameters()}
    sizes, alive = {}, []

    def keep(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes() / 4
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(windows)
    return sum(size for storage, size in sizes.items() if storage not in weights)


@pytest.mark.parametrize(("name", "settings"), SETTINGS, ids=str)
def test_the_estimate_of_features_is_about_twice_what_is_kept_for_the_way_back(
    name: str, settings: dict[str, Any]
) -> None:
    plan = planned(name, settings, edge=128 if settings else 64)
    windows = images(plan, "meta")
    kept = kept_floats(build_without_memory(plan).train(), windows)
    estimate = plan.network.feature_floats(math.prod(windows[:, 0].shape))
    assert 1.3 < estimate / kept < 2.6


@pytest.mark.parametrize(("name", "settings"), QUICK, ids=str)
def test_scores_are_what_the_plan_says_folded_or_not(name: str, settings: dict[str, Any]) -> None:
    plan = planned(name, settings)
    torch.manual_seed(0)
    network, windows = build_network(plan), images(plan)
    network.train()(windows)
    scores = infer(channels_last(network.eval()), windows)
    assert tuple(scores.shape) == plan.scores_shape(windows.shape)
    assert scores.isfinite().all()
    quicker = infer(folded(network), windows)
    assert torch.allclose(quicker, scores, atol=1e-4 * float(scores.abs().max()))


@pytest.mark.parametrize(("name", "settings"), QUICK, ids=str)
def test_a_network_without_memory_has_the_same_weights(name: str, settings: dict[str, Any]) -> None:
    plan = planned(name, settings)
    real, without = build_network(plan).state_dict(), build_without_memory(plan).state_dict()
    assert {name: value.shape for name, value in without.items()} == {n: v.shape for n, v in real.items()}
    assert all(value.is_meta for value in without.values())


def test_no_layer_of_the_last_answer_is_deaf_to_its_gradient() -> None:
    """MONAI's HighResNet ends in an activation: where all classes are below zero, each must still learn."""
    network = build_network_to_train(planned("highresnet", {"repeats": 1})).train()
    activations = {type(layer) for layer in network.modules() if isinstance(layer, nn.ReLU | nn.LeakyReLU)}
    assert activations == {nn.LeakyReLU}


def test_instance_norm_of_dynunet_scales_and_shifts() -> None:
    network = build_network(planned("dynunet", {"channels": [4, 8, 8], "strides": [[2, 2, 2]] * 2}))
    norms = [layer for layer in network.modules() if isinstance(layer, nn.InstanceNorm3d)]
    assert norms
    assert all(layer.affine for layer in norms)
