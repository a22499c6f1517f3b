"""Whole images: one window of each, in the middle, and what a network says of it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from segline.common.errors import SeglineError
from segline.imaging.geometry import Shape
from segline.inference.stitching import WindowScorer
from segline.inference.stopwatch import Stopwatch
from segline.plan import Plan
from segline.plan.preprocessing.normalisation import OUTSIDE


@torch.inference_mode()
def probabilities(
    network: WindowScorer, images: Sequence[Tensor], plan: Plan, watch: Stopwatch | None = None
) -> Tensor:
    """The probability of each class, by softmax.

    Args:
        network: class scores ``(B, K)`` of windows.
        images: ``(C, X, Y, Z)`` float32 each, on the plan's grid.
        plan: whose window is cut from the middle of each image, or filled up around it.
        watch: told the time in the network, and the number of windows.

    Returns:
        ``(images, K)`` float32 on the CPU.

    Raises:
        SeglineError: a score is not finite, or the network does not answer with classes.
    """
    watch = watch or Stopwatch()
    windows = torch.stack([middle(image, plan.inference.largest_window) for image in images])
    with watch.lap("network"):
        scores = network(windows)
    watch.count("windows", len(windows))
    if scores.dim() != 2:
        raise SeglineError(f"plan: network {plan.network.name} answers of every voxel, not with a class")
    if not bool(scores.isfinite().all()):
        raise SeglineError(
            "prediction: scores are not finite; the network overflowed (float16?) or its weights are damaged"
        )
    return scores.float().softmax(1).cpu()


def middle(image: Tensor, window: Shape) -> Tensor:
    """The window ``(C, *window)`` around the middle of ``image`` ``(C, X, Y, Z)``; outside it is air."""
    pads: list[int] = []
    for edge, size in zip(window[::-1], image.shape[:0:-1], strict=True):
        first = (edge - size) // 2 if edge > size else edge // 2 - size // 2  # as MONAI pads and crops
        pads += [first, edge - size - first]
    return functional.pad(image, pads, value=OUTSIDE) if any(pads) else image
