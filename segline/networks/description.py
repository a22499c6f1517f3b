"""What is really built of a plan: its network and optimizer, in their own words."""

from typing import Any

import torch

from segline.networks.catalogue import build_without_memory
from segline.plan import Plan


def built_settings(plan: Plan) -> dict[str, Any]:
    """Class and arguments of the network, its weights counted, and what the optimizer came to; no memory."""
    network = build_without_memory(plan)
    name, arguments = plan.network.monai(len(plan.channels), len(plan.labels))
    training, weight = plan.training, torch.nn.Parameter(torch.zeros(1))
    optimizer = training.optimizer.make([weight], training.learning_rate, training.weight_decay)
    return {
        "network": {
            "class": name,
            "arguments": arguments,
            "weights": sum(weight.numel() for weight in network.parameters()),
            "stride": plan.network.total_stride,
        },
        "optimizer": {"class": type(optimizer).__name__, **optimizer.defaults},
    }
