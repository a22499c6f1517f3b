"""A network as validation asks it."""

import torch
from torch import Tensor

from segline.inference.stitching import WindowScorer
from segline.machine.devices import half_precision
from segline.networks.running import infer
from segline.plan import Plan


def inferring(network: torch.nn.Module, plan: Plan, device: torch.device) -> WindowScorer:
    """``network`` without gradients, in float16 on a GPU if the plan trains in it."""
    half = half_precision(device) if plan.training.mixed_precision else None

    def scores(windows: Tensor) -> Tensor:
        with torch.autocast(device.type, half, enabled=half == torch.float16):
            return infer(network, windows).float()

    return scores
