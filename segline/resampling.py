"""Axis-aligned resampling, one axis at a time.

A reoriented volume and the plan's grid share their axes and the centre of their first voxel, so a trilinear
interpolation is three one-dimensional ones, at a fraction of the cost of a general resampler. Samples beyond
the last voxel take its value. Same grid and values as ``monai.transforms.Spacing(padding_mode="border")``,
but that an extent of a whole number and a half of voxels is rounded up here, and to even there.
"""

import math

import torch
from torch import Tensor

from segline.geometry import Shape, as_shape

_ROUNDING = 1e-9
"""Voxels; a position this far below a voxel or a half is that, but for the rounding of its product."""


def resampled_shape(shape: Shape, spacing_mm: tuple[float, ...], target_mm: tuple[float, ...]) -> Shape:
    """The shape that covers the same voxel centres at ``target_mm`` as ``shape`` does at ``spacing_mm``.

    >>> resampled_shape((512, 512, 31), (0.8, 0.8, 5.0), (1.5, 1.5, 2.0))
    (274, 274, 76)
    """
    extents = ((n - 1) * have / want for n, have, want in zip(shape, spacing_mm, target_mm, strict=True))
    return as_shape(math.floor(extent + 0.5) + 1 for extent in extents)


def resample_linear(
    array: Tensor, shape: Shape, steps: tuple[float, ...], start: Shape = (0, 0, 0)
) -> Tensor:
    """Interpolate the last three axes of ``array`` linearly.

    Args:
        array: ``(..., X, Y, Z)``, floating point.
        shape: output voxels along x, y, z.
        steps: source voxels between two output voxels, along x, y, z.
        start: the first output voxel that is wanted, where only a box is.

    Returns:
        ``(..., *shape)``: voxel ``k`` lies at source index ``(start + k) * step``, clamped to the last one.
    """
    for axis in _cheapest_order(array.shape[-3:], shape):
        dim = array.ndim - 3 + axis
        low, fraction = _sample_positions(array.shape[dim], shape[axis], steps[axis], start[axis])
        if not bool(fraction.any()):
            array = array.index_select(dim, low)
            continue
        high = torch.clamp(low + 1, max=array.shape[dim] - 1)
        weight = fraction.to(array.dtype).view([-1 if d == dim else 1 for d in range(array.ndim)])
        array = torch.lerp(array.index_select(dim, low), array.index_select(dim, high), weight)
    return array


def resample_nearest(array: Tensor, shape: Shape, steps: tuple[float, ...]) -> Tensor:
    """Take the nearest voxel along each of the last three axes; arguments as :func:`resample_linear`.

    Halves are rounded up, so that the answer does not depend on even or odd indices.
    """
    x, y, z = (_nearest(*along) for along in zip(array.shape[-3:], shape, steps, strict=True))
    return array[..., x[:, None, None], y[:, None], z]


def _nearest(size: int, count: int, step: float) -> Tensor:
    """Nearest source voxels ``(count,)`` int64 of the output voxels."""
    positions = torch.arange(count, dtype=torch.float64) * step
    return torch.floor(positions + 0.5 + _ROUNDING).long().clamp_(max=size - 1)


def _sample_positions(size: int, count: int, step: float, start: int) -> tuple[Tensor, Tensor]:
    """Lower neighbours ``(count,)`` int64 and fractions ``(count,)`` float64 of the output voxels."""
    positions = (torch.arange(start, start + count, dtype=torch.float64) * step).clamp_(max=size - 1)
    low = torch.floor(positions + _ROUNDING)
    return low.long(), (positions - low).clamp_(min=0)


def _cheapest_order(source: torch.Size, target: Shape) -> list[int]:
    """Shrinking axes first, growing ones last: the arrays between stay as small as they can."""
    return sorted(range(3), key=lambda axis: target[axis] / source[axis])
