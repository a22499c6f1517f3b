"""The moving average of weights."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from segline.networks.catalogue import build_network
from segline.training.averaging import WeightAverage

from ..networks.test_architectures import planned


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2))


def change(layers: nn.Module) -> None:
    layers.train()
    layers(torch.randn(2, 1, 4, 4, 4))
    for weight in layers.parameters():
        weight.data.add_(torch.randn_like(weight))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_it_is_torch_s_with_a_decay_that_grows(decay):
    layers = network()
    average = WeightAverage(layers, decay)
    wanted = AveragedModel(
        layers,
        multi_avg_fn=lambda a, b, n: get_ema_multi_avg_fn(min(decay, (1 + int(n)) / (10 + int(n))))(a, b, n),
        use_buffers=True,
    )
    for earlier in range(12):
        change(layers)
        average.update(earlier)
        wanted.update_parameters(layers)
    for name, value in wanted.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(average.network.state_dict()[name], value)


def test_counts_are_those_of_the_network():
    layers = network()
    average = WeightAverage(layers, 0.9)
    change(layers)
    change(layers)
    average.update(0)
    assert int(average.network.state_dict()["1.num_batches_tracked"]) == 2


def test_the_network_does_not_change_and_the_average_is_for_evaluation():
    layers = network()
    average = WeightAverage(layers, 0.9)
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    average.update(5)
    assert all(value.equal(before[name]) for name, value in layers.state_dict().items())
    assert not average.network.training
    assert not any(weight.requires_grad for weight in average.network.parameters())


@pytest.mark.parametrize("name", ["densenet121", "efficientnet-b0", "resnet18"])
def test_buffers_of_a_classifier_are_averaged_and_its_counts_copied(name):
    layers = build_network(planned(name, {"spatial_dims": 2}))
    average = WeightAverage(layers, 0.9)
    states, decays = [], [0.0, 2 / 11, 3 / 12]
    for earlier in range(3):
        layers.train()(torch.randn(4, 1, 64, 64, 1))
        states.append({name: value.clone() for name, value in layers.state_dict().items()})
        average.update(earlier)
    for name, value in average.network.state_dict().items():
        wanted = states[0][name]
        for decay, state in zip(decays, states, strict=True):
            wanted = decay * wanted + (1 - decay) * state[name] if value.is_floating_point() else state[name]
        torch.testing.assert_close(value, wanted, msg=name)
    assert any(name.endswith("running_var") for name in states[0])
    assert all(value.isfinite().all() for value in average.network(torch.randn(2, 1, 64, 64, 1)))
