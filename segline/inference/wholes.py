"""Whole images: one window of each, in the middle, and what a network says of it."""

from collections.abc import Sequence

import numpy as np

from segline.common.arrays import Array, as_numpy, functions_for, inferring, softmax
from segline.common.errors import SeglineError
from segline.inference.stitching import WindowScorer, finite, middle
from segline.inference.stopwatch import Stopwatch
from segline.plan import Plan


def probabilities(
    network: WindowScorer, images: Sequence[Array], plan: Plan, watch: Stopwatch | None = None
) -> np.ndarray:
    """The probability of each class, by softmax.

    Args:
        network: class scores ``(B, K)`` of windows.
        images: ``(C, X, Y, Z)`` float32 each, on the plan's grid.
        plan: whose window is cut from the middle of each image, or filled up around it.
        watch: told the time in the network, and the number of windows.

    Returns:
        ``(images, K)`` float32.

    Raises:
        SeglineError: a score is not finite, or the network does not answer with classes.
    """
    watch = watch or Stopwatch()
    windows = functions_for(images[0]).stack(
        [middle(image, plan.inference.largest_window) for image in images]
    )
    with watch.lap("network"), inferring(windows):
        scores = network(windows)
    watch.count("windows", len(windows))
    if scores.ndim != 2:
        raise SeglineError(f"plan: network {plan.network.name} answers of every voxel, not with a class")
    shares: np.ndarray = softmax(finite(as_numpy(scores).astype(np.float32)), axis=1)
    return shares
