"""The moving average of a network's weights, which is what is validated and shipped."""

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Exponential moving average of a network's weights and buffers.

    Its memory grows to ``decay``, so that the first weights are soon forgotten. Torch's ``AveragedModel``
    keeps its count on the device, and would wait for it in each step.

    Attributes:
        network: has the averaged weights; in evaluation mode.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        pairs = list(zip(_state(self.network), _state(network), strict=True))
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, earlier: int) -> None:
        """Take in the weights that the averaged network now has, after so many ``earlier`` updates."""
        decay = min(self.decay, (1 + earlier) / (10 + earlier)) if earlier else 0.0
        averages, currents = map(list, zip(*self._floats, strict=True))
        get_ema_multi_avg_fn(decay)(averages, currents, earlier)
        for average, current in self._counts:
            average.copy_(current)


def _state(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
