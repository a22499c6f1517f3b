"""How much memory a training step takes, before anything is allocated."""

from segline.networks.catalogue import build_without_memory
from segline.plan import Plan

_BYTES_PER_FLOAT = 4
_MAPS_A_CLASS = 5
"""Full-size maps of each class: scores, softmax, one-hot truth and their gradients."""
_MAPS_A_CHANNEL = 2
"""Full-size maps of each channel: the batch, and its copy with the channels last."""
_COPIES_OF_A_WEIGHT = 3
"""The weight, its gradient and the moving average, beside what the optimizer keeps."""


def training_bytes(plan: Plan) -> int:
    """Estimate of the bytes that one float32 training step allocates.

    The constants were fitted to the growth of ``ru_maxrss`` over two steps on a CPU, torch 2.13: patches of
    48, 64, 96 and 128 voxels, 8 to 256 channels, 2 to 8 classes, 0 to 2 residual units, one process each.
    The estimate was 0.8 to 1.9 times what was measured. Half precision on a GPU needs less. Of networks other
    than the UNet it was the tensors kept for the way back that were measured, and taken 1.8 times, as the
    UNet's estimate is of its own.
    """
    x, y, z = plan.training.patch_size
    voxels = plan.training.batch_size * x * y * z
    network = plan.network
    answers = (1 + network.heads) * len(plan.labels) if network.answers == "voxels" else 0
    floats = voxels * (_MAPS_A_CLASS * answers + _MAPS_A_CHANNEL * len(plan.channels))
    floats += network.feature_floats(voxels)
    weights = sum(weight.numel() for weight in build_without_memory(plan).parameters())
    copies = _COPIES_OF_A_WEIGHT + plan.training.optimizer.moments
    return (floats + weights * copies) * _BYTES_PER_FLOAT
