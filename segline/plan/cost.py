"""What inference under a plan costs: one from anywhere may ask for a machine's memory, or its day."""

from math import prod

from segline.common.errors import SeglineError
from segline.common.wording import by
from segline.plan.plan import Plan

_FEWEST_VOXELS = 512
"""Of the largest window; smaller ones cut a whole-body CT into millions."""
_MOST_PASSES = 8
"""Of each voxel through the network: half of each edge overlaps, or seven eighths of one. Plans propose 2."""
_MOST_GB = 32.0
"""Of one batch of windows; proposed plans of 117 labels on whole abdomens come to half of it."""
_LIVE_SHARE = 1 / 6
"""Of the features that a training step keeps: what inference holds at once, the rest is free again."""
_BYTES_PER_FLOAT = 4


def require_affordable(plan: Plan, name: str) -> None:
    """Refuse a plan whose windows are too many or too large for any machine; ``name`` says where it lies.

    What a volume costs is also for its size to say, which no plan knows.

    Raises:
        SeglineError: with the setting, and what it comes to.
    """
    inference = plan.inference
    window = inference.largest_window
    if prod(window) < _FEWEST_VOXELS:
        raise SeglineError(
            f"{name}: inference.largest_window {by(window)} has {prod(window)} voxels; "
            f"it must have at least {_FEWEST_VOXELS}"
        )
    steps = [edge - overlap for edge, overlap in zip(window, inference.overlap, strict=True)]
    if prod(window) > _MOST_PASSES * prod(steps):
        raise SeglineError(
            f"{name}: inference.overlap {by(inference.overlap)} of windows of {by(window)} puts each voxel "
            f"through the network {prod(window) / prod(steps):.0f} times; at most {_MOST_PASSES} are allowed"
        )
    size_gb = batch_bytes(plan) / 1e9
    if size_gb > _MOST_GB:
        raise SeglineError(
            f"{name}: inference.largest_window {by(window)} in an inference.batch_size of "
            f"{inference.batch_size} takes about {size_gb:.0f} GB; at most {_MOST_GB:g} are allowed"
        )


def batch_bytes(plan: Plan) -> int:
    """Estimate of what one batch of the largest windows takes: itself, scores, probabilities, features."""
    voxels = plan.inference.batch_size * prod(plan.inference.largest_window)
    answers = len(plan.labels) if plan.network.answers == "voxels" else 0
    maps = voxels * (len(plan.channels) + 2 * answers)
    return int((maps + plan.network.feature_floats(voxels) * _LIVE_SHARE) * _BYTES_PER_FLOAT)
