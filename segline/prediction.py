"""Prediction: windows over a volume, blended into one answer on the file's own grid."""

import itertools
import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from segline.geometry import Shape, as_shape
from segline.intensity import OUTSIDE
from segline.plan import Inference, Plan
from segline.preprocessing import Preprocessor, restore
from segline.stopwatch import Stopwatch
from segline.volumes import Volume

Network = Callable[[Tensor], Tensor]
"""Windows ``(B, C, x, y, z)`` float32 to class scores ``(B, K, x, y, z)`` float32, before softmax.

The scores become the caller's, who may overwrite them.
"""

_GAUSSIAN_SIGMA = 1 / 8
"""Of the window's edge; after nnU-Net."""


class Predictor:
    """A plan and a network: from a volume to its label map."""

    def __init__(self, plan: Plan, network: Network, watch: Stopwatch | None = None) -> None:
        self.plan = plan
        self.network = network
        self.watch = watch or Stopwatch()

    def __call__(self, volume: Volume) -> Volume:
        """Predict one label map: uint8 label values on exactly the grid, affine and axes of ``volume``.

        Raises:
            SeglineError: the volume does not have the plan's channels.
        """
        preprocessor = Preprocessor(self.plan.preprocessing)
        with self.watch.lap("preprocess"):
            placement = preprocessor.place(volume)
            image = preprocessor.image(volume, placement)
        scores = predict_scores(self.network, image, self.plan.inference, self.watch)
        with self.watch.lap("invert"):
            _softmax_in_place(scores)
            return restore(scores, placement, self.plan.label_values)


def predict_scores(
    network: Network, image: Tensor, inference: Inference, watch: Stopwatch | None = None
) -> Tensor:
    """Class scores ``(K, X, Y, Z)`` of an image ``(C, X, Y, Z)``, blended over overlapping windows."""
    watch = watch or Stopwatch()
    padded, inner = _pad_to(image, inference.window)
    starts = window_starts(as_shape(padded.shape[1:]), inference.window, inference.overlap)
    weight = _window_weight(inference.window, inference.blending).to(image.device)
    blended, total = None, torch.zeros(padded.shape[1:], device=image.device)
    for first in range(0, len(starts), inference.batch_size):
        batch = starts[first : first + inference.batch_size]
        boxes = [tuple(slice(a, a + n) for a, n in zip(s, inference.window, strict=True)) for s in batch]
        with watch.lap("network"):
            scores = network(torch.stack([padded[:, *box] for box in boxes]))
        with watch.lap("stitch"):
            if len(starts) == 1:
                return scores[0][:, *inner]
            if blended is None:
                blended = torch.zeros(scores.shape[1], *padded.shape[1:], device=image.device)
            for box, score in zip(boxes, scores, strict=True):
                blended[:, *box].addcmul_(score, weight)
                total[box] += weight
    assert blended is not None
    with watch.lap("stitch"):
        return blended.div_(total)[:, *inner]


def window_starts(shape: Shape, window: Shape, overlap: float) -> list[Shape]:
    """First voxels of the fewest evenly spread windows that overlap by at least ``overlap`` of their edge.

    >>> window_starts((8, 8, 20), (8, 8, 8), 0.25)
    [(0, 0, 0), (0, 0, 6), (0, 0, 12)]
    """
    along = []
    for size, length in zip(shape, window, strict=True):
        step = max(1, math.floor(length * (1 - overlap) + 1e-9))
        gaps = math.ceil((size - length) / step)
        along.append([round(k * (size - length) / gaps) for k in range(gaps + 1)] if gaps else [0])
    return [as_shape(start) for start in itertools.product(*along)]


@lru_cache(maxsize=8)
def _window_weight(window: Shape, blending: str) -> Tensor:
    """Weight ``window`` float32 of each voxel of a window, never zero."""
    if blending == "constant":
        return torch.ones(window)
    weight = torch.ones(1)
    for size in window:
        offsets = torch.arange(size) - (size - 1) / 2
        weight = weight[..., None] * torch.exp(-0.5 * (offsets / (size * _GAUSSIAN_SIGMA)) ** 2)
    return weight[0].clamp_min(1e-3)


def _softmax_in_place(scores: Tensor) -> None:
    """Class scores ``(K, X, Y, Z)`` to probabilities; a second volume of them could be gigabytes."""
    with torch.inference_mode():
        for slab in scores.split(16, dim=1):
            slab.copy_(slab.softmax(dim=0))


def _pad_to(image: Tensor, window: Shape) -> tuple[Tensor, tuple[slice, slice, slice]]:
    """Pad evenly to at least ``window``; also give the box of the image in it."""
    missing = [max(0, n - size) for n, size in zip(window, image.shape[1:], strict=True)]
    before = [gap // 2 for gap in missing]
    pads = [p for gap, first in zip(missing[::-1], before[::-1], strict=True) for p in (first, gap - first)]
    x, y, z = (slice(a, a + size) for a, size in zip(before, image.shape[1:], strict=True))
    return functional.pad(image, pads, value=OUTSIDE) if any(missing) else image, (x, y, z)
