"""Whole images: one window of each, in the middle, and what a network says of it."""

from collections.abc import Sequence

import numpy as np

from segline.common.arrays import Array, as_numpy, functions_for, inferring
from segline.common.errors import SeglineError
from segline.imaging.geometry import Shape
from segline.inference.stitching import WindowScorer
from segline.inference.stopwatch import Stopwatch
from segline.plan import Plan
from segline.plan.preprocessing.normalisation import OUTSIDE


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
    found = as_numpy(scores).astype(np.float32)
    if not np.isfinite(found).all():
        raise SeglineError(
            "prediction: scores are not finite; the network overflowed (float16?) or its weights are damaged"
        )
    odds = np.exp(found - found.max(axis=1, keepdims=True))
    shares: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
    return shares


def middle(image: Array, window: Shape) -> Array:
    """The window ``(C, *window)`` around the middle of ``image`` ``(C, X, Y, Z)``; outside it is air."""
    kept, filled = [], []
    for edge, size in zip(window, image.shape[1:], strict=True):
        first = (edge - size) // 2 if edge > size else edge // 2 - size // 2  # as MONAI pads and crops
        kept.append(slice(max(0, -first), min(size, edge - first)))
        filled.append(slice(max(0, first), min(edge, first + size)))
    cut = image[:, *kept]
    if cut.shape[1:] == window:
        return cut
    xp = functions_for(image)
    padded = xp.full((len(image), *window), OUTSIDE, dtype=image.dtype, device=image.device)
    padded[:, *filled] = cut
    return padded
