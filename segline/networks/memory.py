"""How much memory a training step takes, before anything is allocated."""

import torch

from segline.networks.catalogue import build_network
from segline.plan import Plan

_BYTES_PER_FLOAT = 4
_ACTIVATIONS_A_LEVEL = 26
"""Feature maps of each channel of a level that a training step keeps, forward and backward."""
_MAPS_A_CLASS = 5
"""Full-size maps of each class: scores, softmax, one-hot truth and their gradients."""
_MAPS_A_CHANNEL = 2
"""Full-size maps of each channel: the batch, and its copy with the channels last."""
_COPIES_OF_A_WEIGHT = 5
"""The weight, its gradient, AdamW's two moments and the moving average."""


def training_bytes(plan: Plan) -> int:
    """Estimate of the bytes that one float32 training step allocates.

    The constants were fitted to the growth of ``ru_maxrss`` over two steps on a CPU, torch 2.13: patches of
    48, 64, 96 and 128 voxels, 8 to 256 channels, 2 to 8 classes, 0 to 2 residual units, one process each.
    The estimate was 0.8 to 1.9 times what was measured. Half precision on a GPU needs less.
    """
    x, y, z = plan.training.patch_size
    voxels = plan.training.batch_size * x * y * z
    floats = voxels * (_MAPS_A_CLASS * len(plan.labels) + _MAPS_A_CHANNEL * len(plan.channels))
    # the first level is already strided; the last one is not strided again
    for channels, (sx, sy, sz) in zip(plan.network.channels, [*plan.network.strides, (1, 1, 1)], strict=True):
        voxels //= sx * sy * sz
        floats += voxels * channels * _ACTIVATIONS_A_LEVEL
    with torch.device("meta"):
        weights = sum(weight.numel() for weight in build_network(plan).parameters())
    return (floats + weights * _COPIES_OF_A_WEIGHT) * _BYTES_PER_FLOAT
