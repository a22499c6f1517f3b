"""Windows over an image, blended into one answer on the plan's grid."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from segline.common.errors import SeglineError
from segline.imaging.geometry import Shape, as_shape
from segline.inference.stopwatch import Stopwatch
from segline.inference.tiling import Tiling
from segline.plan import PROFILES, Plan
from segline.plan.preprocessing.normalisation import OUTSIDE

WindowScorer = Callable[[Tensor], Tensor]
"""Windows ``(B, C, x, y, z)`` float32 to class scores ``(B, K, x, y, z)`` float32, before softmax.

Of a network that answers with one class a window they are ``(B, K)``. They become the caller's, who may
overwrite them.
"""


@torch.inference_mode()
def predict_leads(network: WindowScorer, image: Tensor, plan: Plan, watch: Stopwatch | None = None) -> Tensor:
    """By how much each foreground class leads the background, blended over windows.

    Subtracting the background's score first changes no softmax and spares a class: of two, half the work.

    Args:
        network: class scores of windows.
        image: ``(C, X, Y, Z)`` float32 on the plan's grid.
        plan: whose inference part says how the windows lie.
        watch: told the time in the network and in the stitching, and the number of windows.

    Returns:
        ``(K - 1, X, Y, Z)`` float32 on the image's device: score less the background's, before softmax.

    Raises:
        SeglineError: a score is not finite.
    """
    watch = watch or Stopwatch()
    tiling = Tiling.of(as_shape(image.shape[1:]), plan.inference, plan.network.total_stride)
    padded, inner = _pad_to(image, tiling.shape)
    stitched = _Stitched(tiling, plan.inference.blending)
    windows, batch_size = tiling.boxes, plan.inference.batch_size
    for first in range(0, len(windows), batch_size):
        boxes = windows[first : first + batch_size]
        with watch.lap("network"):
            scores = network(torch.stack([padded[:, *box] for box in boxes]))
        watch.count("windows", len(boxes))
        with watch.lap("stitch"):
            stitched.add(boxes, scores[:, 1:].sub_(scores[:, :1]))
            del scores
    with watch.lap("stitch"):
        return _finite(stitched.result()[:, *inner])


class _Stitched:
    """Windows' answers, weighted and added where they lie."""

    def __init__(self, tiling: Tiling, blending: str) -> None:
        self._tiling = tiling
        self._blending = blending
        self._sum: Tensor | None = None

    def add(self, boxes: list[tuple[slice, slice, slice]], answers: Tensor) -> None:
        """Add a batch ``(B, M, x, y, z)``, which may be overwritten."""
        if len(self._tiling.starts) == 1:
            self._sum = answers[0]
            return
        if self._sum is None:
            shape = (answers.shape[1], *self._tiling.shape)
            self._sum = torch.zeros(shape, device=answers.device)
        weight = _window_weight(self._tiling.window, self._blending).to(answers.device)
        for box, answer in zip(boxes, answers, strict=True):
            self._sum[:, *box].addcmul_(answer, weight)

    def result(self) -> Tensor:
        """``(M, X, Y, Z)``, divided by the weights."""
        assert self._sum is not None
        if len(self._tiling.starts) == 1:
            return self._sum
        return self._sum.div_(_total_weight(self._tiling, self._blending).to(self._sum.device))


@lru_cache(maxsize=4)
def _window_weight(window: Shape, blending: str) -> Tensor:
    """Weight ``window`` float32 of each voxel of a window, never zero."""
    weight, profile = torch.ones(1), PROFILES[blending]
    for size in window:
        weight = weight[..., None] * profile(torch.arange(size) - (size - 1) / 2)
    return weight[0].clamp_min(1e-3)


@lru_cache(maxsize=1)
def _total_weight(tiling: Tiling, blending: str) -> Tensor:
    """Sum of the windows' weights at each voxel; kept, since one task's volumes are often of one shape."""
    total = torch.zeros(tiling.shape)
    for box in tiling.boxes:
        total[box] += _window_weight(tiling.window, blending)
    return total


def _finite(leads: Tensor) -> Tensor:
    # a comparison with NaN is false: it would pass for background
    if not bool(leads.sum().isfinite()):
        raise SeglineError(
            "prediction: scores are not finite; the network overflowed (float16?) or its weights are damaged"
        )
    return leads


def _pad_to(image: Tensor, shape: Shape) -> tuple[Tensor, tuple[slice, slice, slice]]:
    """Pad evenly to ``shape``; also give the box of the image in it."""
    missing = [n - size for n, size in zip(shape, image.shape[1:], strict=True)]
    before = [gap // 2 for gap in missing]
    pads = [p for gap, first in zip(missing[::-1], before[::-1], strict=True) for p in (first, gap - first)]
    x, y, z = (slice(a, a + size) for a, size in zip(before, image.shape[1:], strict=True))
    return functional.pad(image, pads, value=OUTSIDE) if any(missing) else image, (x, y, z)
