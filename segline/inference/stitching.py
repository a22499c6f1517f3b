"""Windows over an image, blended into one answer on the plan's grid."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from segline.common.arrays import Array, functions_for, inferring, like
from segline.common.errors import SeglineError
from segline.imaging.geometry import Box, Shape, as_shape
from segline.inference.planes import part, planes_of
from segline.inference.stopwatch import Stopwatch
from segline.inference.tiling import Tiling
from segline.plan import PROFILES, Plan
from segline.plan.preprocessing.normalisation import OUTSIDE

_LEAST_WEIGHT = 1e-3
"""Of a voxel at a window's edge."""

WindowScorer = Callable[[Array], Array]
"""Windows ``(B, C, x, y, z)`` float32 to class scores ``(B, K, x, y, z)`` float32, before softmax.

Both are NumPy arrays, or PyTorch tensors where the image is one. Of a network that answers with one class a
window the scores are ``(B, K)``. They become the caller's, who may overwrite them.
"""


def predict_leads(network: WindowScorer, image: Array, plan: Plan, watch: Stopwatch | None = None) -> Array:
    """By how much each foreground class leads the background, blended over windows.

    Subtracting the background's score first changes no softmax and spares a class: of two, half the work.

    Args:
        network: class scores of windows.
        image: ``(C, X, Y, Z)`` float32 on the plan's grid.
        plan: whose inference part says how the windows lie.
        watch: told the time in the network and in the stitching, and the number of windows.

    Returns:
        ``(K - 1, X, Y, Z)`` float32 on the image's device: score less the background's, before softmax;
        labels that the plan parts by planes are parted.

    Raises:
        SeglineError: a score is not finite.
    """
    with inferring(image):
        return _blended(network, image, plan, watch or Stopwatch())


def _blended(network: WindowScorer, image: Array, plan: Plan, watch: Stopwatch) -> Array:
    tiling = Tiling.of(as_shape(image.shape[1:]), plan.inference, plan.network.total_stride)
    padded, inner = _pad_to(image, tiling.shape)
    stitched = _Stitched(tiling, plan.inference.blending)
    windows, batch_size = tiling.boxes, plan.inference.batch_size
    for first in range(0, len(windows), batch_size):
        boxes = windows[first : first + batch_size]
        with watch.lap("network"):
            scores = network(_batch(padded, boxes))
        watch.count("windows", len(boxes))
        with watch.lap("stitch"):
            leads = scores[:, 1:]
            leads -= scores[:, :1]
            stitched.add(boxes, leads)
            del scores, leads
    with watch.lap("stitch"):
        leads = finite(stitched.result()[:, *inner])
        part(leads, planes_of(plan))
        return leads


def _batch(image: Array, boxes: list[Box]) -> Array:
    """Windows ``(B, C, x, y, z)``; of a single one the image itself, which may be as large."""
    if len(boxes) == 1:
        return image[None, :, *boxes[0]]
    return functions_for(image).stack([image[:, *box] for box in boxes])


class _Stitched:
    """Windows' answers, weighted and added where they lie."""

    def __init__(self, tiling: Tiling, blending: str) -> None:
        self._tiling = tiling
        self._blending = blending
        self._sum: Array = None

    def add(self, boxes: list[Box], answers: Array) -> None:
        """Add a batch ``(B, M, x, y, z)``, which may be overwritten."""
        if len(self._tiling.starts) == 1:
            self._sum = answers[0]
            return
        if self._sum is None:
            shape = (answers.shape[1], *self._tiling.shape)
            self._sum = functions_for(answers).zeros(shape, dtype=answers.dtype, device=answers.device)
        weight = like(_window_weight(self._tiling.window, self._blending), answers)
        for box, answer in zip(boxes, answers, strict=True):
            answer *= weight
            self._sum[:, *box] += answer

    def result(self) -> Array:
        """``(M, X, Y, Z)``, divided by the weights."""
        if len(self._tiling.starts) > 1:
            self._sum /= like(_total_weight(self._tiling, self._blending), self._sum)
        return self._sum


@lru_cache(maxsize=4)
def _window_weight(window: Shape, blending: str) -> np.ndarray:
    """Weight ``window`` float32 of each voxel of a window, never zero."""
    weight, profile = np.ones(1), PROFILES[blending]
    for size in window:
        weight = weight[..., None] * profile(np.arange(size) - (size - 1) / 2)
    return np.maximum(weight[0], _LEAST_WEIGHT).astype(np.float32)


@lru_cache(maxsize=1)
def _total_weight(tiling: Tiling, blending: str) -> np.ndarray:
    """Sum of the windows' weights at each voxel; kept, since one task's volumes are often of one shape."""
    total = np.zeros(tiling.shape, np.float32)
    for box in tiling.boxes:
        total[box] += _window_weight(tiling.window, blending)
    return total


def finite(scores: Array) -> Array:
    """The scores themselves, of any shape.

    Raises:
        SeglineError: one of them is not finite.
    """
    # a comparison with NaN is false: it would pass for background
    xp = functions_for(scores)
    with inferring(scores):
        total = xp.sum(scores)
    if not bool(xp.isfinite(total)):
        raise SeglineError(
            "prediction: scores are not finite; the network overflowed (float16?) or its weights are damaged"
        )
    return scores


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


def _pad_to(image: Array, shape: Shape) -> tuple[Array, Box]:
    """Pad evenly to ``shape``, no smaller; also give the box of the image in it."""
    before = [(n - size) // 2 for n, size in zip(shape, image.shape[1:], strict=True)]
    x, y, z = (slice(a, a + size) for a, size in zip(before, image.shape[1:], strict=True))
    return middle(image, shape), (x, y, z)
