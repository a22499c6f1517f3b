"""Prediction: windows over a volume, blended into one answer on the file's own grid."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from segline.common.errors import SeglineError
from segline.imaging.geometry import Shape, as_shape
from segline.imaging.normalisation import OUTSIDE
from segline.imaging.preprocessing import CPU, Placement, Preprocessor, restore
from segline.imaging.volume import Volume
from segline.inference.postprocessing import keep_largest_components
from segline.inference.stopwatch import Stopwatch
from segline.inference.tiling import Tiling
from segline.plan.plan import Plan

Network = Callable[[Tensor], Tensor]
"""Windows ``(B, C, x, y, z)`` float32 to class scores ``(B, K, x, y, z)`` float32, before softmax.

The scores become the caller's, who may overwrite them.
"""

_GAUSSIAN_SIGMA = 1 / 8
"""Of the window's edge; after nnU-Net."""


class Predictor:
    """A plan and a network: from a volume to its label map.

    All between a file and its mask happens on the device of a network that names one, as backends do.
    """

    def __init__(self, plan: Plan, network: Network, watch: Stopwatch | None = None) -> None:
        self.plan = plan
        self.network = network
        self.device = getattr(network, "device", CPU)
        self.watch = watch or Stopwatch()

    def __call__(self, volume: Volume) -> Volume:
        """Predict one label map: uint8 label values on exactly the grid, affine and axes of ``volume``.

        Raises:
            SeglineError: the volume does not have the plan's channels, or the scores are not finite.
        """
        return self.mask(self.leads(volume))

    def leads(self, volume: Volume) -> "Leads":
        """The first half: what the network says, on the plan's grid.

        Raises:
            SeglineError: the volume does not have the plan's channels, or the scores are not finite.
        """
        preprocessor = Preprocessor(self.plan.preprocessing, self.device)
        with self.watch.lap("preprocess"):
            placement = preprocessor.place(volume)
            image = preprocessor.image(volume, placement)
        return Leads(predict_leads(self.network, image, self.plan, self.watch), placement)

    def mask(self, leads: "Leads") -> Volume:
        """The second half: the post-processed label map on the file's own grid; overwrites ``leads``."""
        with self.watch.lap("invert"):
            mask = restore(leads.values, leads.placement, self.plan.label_values)
            if kept := self.plan.inference.keep_largest:
                keep_largest_components(mask.array[0], kept, self.plan.label_values[0])
        return mask


@dataclass(frozen=True)
class Leads:
    """By how much each foreground class leads the background, and where in the file."""

    values: Tensor
    """``(K - 1, X, Y, Z)`` float32, before softmax."""
    placement: Placement


@torch.inference_mode()
def predict_leads(network: Network, image: Tensor, plan: Plan, watch: Stopwatch | None = None) -> Tensor:
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
    if blending == "constant":
        return torch.ones(window)
    weight = torch.ones(1)
    for size in window:
        offsets = torch.arange(size) - (size - 1) / 2
        weight = weight[..., None] * torch.exp(-0.5 * (offsets / (size * _GAUSSIAN_SIGMA)) ** 2)
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
