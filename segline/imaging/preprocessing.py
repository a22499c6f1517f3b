"""From a file's grid to the plan's grid, and exactly back."""

import math
from dataclasses import dataclass

import numpy as np

from segline.common.arrays import CPU, Array, contiguous, functions_for, placed
from segline.common.errors import SeglineError
from segline.common.limits import require_fits
from segline.common.wording import by
from segline.imaging.geometry import Box, Reorientation, as_shape
from segline.imaging.placement import Placement
from segline.imaging.resampling import resample_linear, resample_nearest, resampled_shape
from segline.imaging.volume import Volume
from segline.plan import Preprocessing

IGNORED = 255
"""Class index of voxels of which nothing is known."""

PREPROCESSING_VERSION = 3
"""Part of every cached case's key: raise it when this code changes what it makes."""


@dataclass(frozen=True)
class Preprocessor:
    """The preprocessing part of a plan, as functions."""

    settings: Preprocessing
    device: str = CPU
    """Where images are resampled and given: as NumPy arrays on the CPU, as PyTorch tensors elsewhere."""

    def place(self, volume: Volume) -> Placement:
        """Choose the box of a volume that is kept, and its shape on the plan's grid.

        Raises:
            SeglineError: it would be larger there than ``SEGLINE_LARGEST_GB``.
        """
        grid = volume.grid
        reorientation = Reorientation.between(grid.orientation, self.settings.orientation)
        turned = reorientation.apply_to_grid(grid)
        above, margin = self.settings.foreground_above, self.settings.margin_mm
        box = foreground_box(reorientation.apply(volume.array), above, margin, turned.spacing_mm)
        start, stop = as_shape(side.start for side in box), as_shape(side.stop for side in box)
        size = as_shape(b - a for a, b in zip(start, stop, strict=True))
        target = self.settings.spacing_mm
        shape = resampled_shape(size, turned.spacing_mm, target)
        require_fits(
            4.0 * len(volume.array) * math.prod(shape),
            f"{by(size)} voxels of {by(turned.spacing_mm)} mm at the plan's {by(target)} mm",
        )
        steps = [want / have for want, have in zip(target, turned.spacing_mm, strict=True)]
        rows = [(float(a), float(b), float(c), float(d)) for a, b, c, d in grid.affine]
        return Placement(
            native_shape=grid.shape,
            native_affine=tuple(rows),
            axes=reorientation.axes,
            flips=reorientation.flips,
            crop_start=start,
            crop_stop=stop,
            shape=shape,
            steps=(steps[0], steps[1], steps[2]),
        )

    def image(self, volume: Volume, placement: Placement) -> Array:
        """``(C, *placement.shape)`` float32, normalised.

        Raises:
            SeglineError: the volume has another number of channels than the plan.
        """
        rules = self.settings.intensity
        if len(volume.array) != len(rules):
            raise SeglineError(
                f"the image has {len(volume.array)} channels, the plan wants {len(rules)}; "
                "give one file a channel, in the plan's order, or one file with all"
            )
        box = placement.reorientation.apply(volume.array)[:, *placement.crop]
        above = self.settings.foreground_above
        # a channel at a time: the float copy of a large volume is the peak of memory
        channels = [self._resampled(channel, placement) for channel in box]
        normalised = [rule.apply(c, above) for c, rule in zip(channels, rules, strict=True)]
        return functions_for(normalised[0]).stack(normalised)

    def label(
        self,
        volume: Volume,
        placement: Placement,
        label_values: tuple[int, ...],
        ignore: int | None = None,
    ) -> np.ndarray:
        """``placement.shape`` uint8 class indices, nearest neighbour, ``IGNORED`` where it is ``ignore``.

        Raises:
            SeglineError: a voxel has a value that is not among ``label_values``.
        """
        box = placement.reorientation.apply(volume.array)[0][placement.crop]
        values = resample_nearest(box, placement.shape, placement.steps)
        return _class_indices(values, label_values, ignore)

    def _resampled(self, channel: np.ndarray, placement: Placement) -> Array:
        """``channel``, a view whose axes may run backwards, as float32 on the plan's grid."""
        backwards = tuple(axis for axis, stride in enumerate(channel.strides) if stride < 0)
        native = placed(np.flip(channel, backwards), self.device)
        steps, start = list(placement.steps), [0.0, 0.0, 0.0]
        for axis in backwards:
            steps[axis], start[axis] = -steps[axis], float(channel.shape[axis] - 1)
        sampled = resample_linear(
            native, placement.shape, (steps[0], steps[1], steps[2]), (start[0], start[1], start[2])
        )
        return contiguous(sampled)


def foreground_box(
    array: np.ndarray, above: float | None, margin_mm: float, spacing_mm: tuple[float, ...]
) -> Box:
    """The box of the voxels of ``(C, X, Y, Z)`` above a value in any channel, and a margin around it.

    The whole where ``above`` is None or nothing is above it.
    """
    whole = tuple(slice(0, size) for size in array.shape[1:])
    if above is None:
        return whole[0], whole[1], whole[2]
    reached = [np.flatnonzero(along > above) for along in _largest_along(array)]
    if not all(map(len, reached)):
        return whole[0], whole[1], whole[2]
    box = []
    for size, along, mm in zip(array.shape[1:], reached, spacing_mm, strict=True):
        margin = int(np.ceil(margin_mm / mm))
        box.append(slice(max(0, int(along[0]) - margin), min(size, int(along[-1]) + 1 + margin)))
    return box[0], box[1], box[2]


def _class_indices(values: np.ndarray, label_values: tuple[int, ...], ignore: int | None) -> np.ndarray:
    """As uint8, of values that are label values."""
    lookup = np.full(256, -1, dtype=np.int16)
    lookup[list(label_values)] = np.arange(len(label_values))
    if ignore is not None:
        lookup[ignore] = IGNORED
    if values.min() >= 0 and values.max() <= 255:
        classes = lookup[values]
        if classes.min() >= 0:
            return classes.astype(np.uint8)
    strays = np.setdiff1d(values, label_values)
    raise SeglineError(
        f"the label has value {strays[0]}, the plan knows {', '.join(map(str, label_values))}; "
        "correct the label, or the labels in dataset.json and plan again"
    )


def _largest_along(array: np.ndarray) -> list[np.ndarray]:
    """Largest value of each slice of ``(C, X, Y, Z)`` across x, y and z."""
    in_memory = sorted((1, 2, 3), key=lambda axis: -abs(array.strides[axis]))
    slow, middle, fast = in_memory
    flat = array.max(axis=0) if len(array) > 1 else array[0]
    planes = flat.transpose(*(axis - 1 for axis in in_memory))
    # plane by plane, each read once: whole, a large volume would come from memory twice
    lines, along_slow = planes[0].copy(), np.empty(len(planes), planes.dtype)
    for number, plane in enumerate(planes):
        np.maximum(lines, plane, out=lines)
        along_slow[number] = plane.max()
    along = {slow: along_slow, middle: lines.max(axis=1), fast: lines.max(axis=0)}
    return [along[axis] for axis in (1, 2, 3)]
