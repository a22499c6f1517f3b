"""Axis-aligned resampling, one axis at a time.

A reoriented volume and the plan's grid share their axes and the centre of their first voxel, so a trilinear
interpolation is three one-dimensional ones, at a fraction of the cost of a general resampler. Samples beyond
the last voxel take its value. Same grid and values as ``monai.transforms.Spacing(padding_mode="border")``,
but that an extent of a whole number and a half of voxels is rounded up here, and to even there.
"""

import math
from typing import Any

import numpy as np

from segline.common.arrays import Array, functions_for, is_tensor, like, slabs, strides_of
from segline.imaging.geometry import Shape, as_shape

Steps = tuple[float, float, float]

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
    array: Array, shape: Shape, steps: Steps, start: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Array:
    """Interpolate the last three axes of ``array`` linearly.

    Args:
        array: ``(..., X, Y, Z)``; integers come back as float32. Fastest along its own memory, so the axes
            are taken in the order in which they lie there.
        shape: output voxels along x, y, z.
        steps: source voxels between two output voxels, along x, y, z; negative to go backwards.
        start: source position of the first output voxel.

    Returns:
        ``(..., *shape)``: voxel ``k`` lies at source index ``start + k * step``, clamped to the array.
    """
    lead, far = array.ndim - 3, strides_of(array)
    in_memory = sorted(range(3), key=lambda axis: -far[lead + axis])
    turn = functions_for(array).permute_dims
    result = turn(array, (*range(lead), *(lead + axis for axis in in_memory)))
    growth = [round(shape[axis] / array.shape[lead + axis], 1) for axis in in_memory]
    # what shrinks first, and of equals what lies far apart in memory: whole lines are copied then
    for dim in sorted(range(3), key=growth.__getitem__):
        axis = in_memory[dim]
        result = _along(result, lead + dim, shape[axis], steps[axis], start[axis])
    return turn(result, (*range(lead), *(lead + in_memory.index(axis) for axis in range(3))))


def _along(array: Array, dim: int, count: int, step: float, start: float) -> Array:
    """One axis of it; the others stay."""
    xp, size = functions_for(array), array.shape[dim]
    positions = np.clip(start + np.arange(count) * step, 0, size - 1)
    low = np.floor(positions + _ROUNDING).astype(np.int64)
    fraction = np.maximum(positions - low, 0)
    dtype = array.dtype if xp.isdtype(array.dtype, "real floating") else xp.float32
    if is_tensor(array):
        return _between(array, dim, low, fraction, dtype)
    found = np.empty([count if d == dim else edge for d, edge in enumerate(array.shape)], dtype)
    far = max(range(array.ndim), key=array.strides.__getitem__)
    for slab in slabs(found, far):
        if far == dim:
            found[slab] = _between(array, dim, low[slab[-1]], fraction[slab[-1]], dtype)
        else:
            found[slab] = _between(array[slab], dim, low, fraction, dtype)
    return found


def _between(array: Array, dim: int, low: np.ndarray, fraction: np.ndarray, dtype: Any) -> Array:
    """At each position along ``dim`` the voxel ``low``, and so much of the next as ``fraction`` says."""
    xp = functions_for(array)
    lower = xp.astype(_take(array, dim, low), dtype, copy=False)
    if not fraction.any():
        return lower
    upper = xp.astype(_take(array, dim, np.minimum(low + 1, array.shape[dim] - 1)), dtype, copy=False)
    weight = xp.astype(like(fraction, array), dtype)
    upper -= lower
    upper *= xp.reshape(weight, [-1 if d == dim else 1 for d in range(array.ndim)])
    lower += upper
    return lower


def _take(array: Array, dim: int, indices: np.ndarray) -> Array:
    return functions_for(array).take(array, like(indices, array), axis=dim)


def resample_nearest(array: np.ndarray, shape: Shape, steps: Steps) -> np.ndarray:
    """Take the nearest voxel along each of the last three axes; arguments as :func:`resample_linear`.

    Halves are rounded up, so that the answer does not depend on even or odd indices.
    """
    x, y, z = (_nearest(*along) for along in zip(array.shape[-3:], shape, steps, strict=True))
    taken: np.ndarray = array[..., x[:, None, None], y[:, None], z]
    return taken


def _nearest(size: int, count: int, step: float) -> np.ndarray:
    """Nearest source voxels ``(count,)`` int64 of the output voxels."""
    positions = np.arange(count) * step
    return np.minimum(np.floor(positions + 0.5 + _ROUNDING).astype(np.int64), size - 1)


def block_means(array: np.ndarray, blocks: Shape) -> np.ndarray:
    """Mean of each of ``blocks`` parts of an image along its axes, cut as by PyTorch's adaptive pooling.

    Where the edge is no multiple, neighbouring blocks share a voxel.

    Args:
        array: ``(C, X, Y, Z)``.

    Returns:
        ``(C, *blocks)`` float32.
    """
    means = array
    for axis, count in enumerate(blocks, 1):
        size = array.shape[axis]
        lines = [
            means.take(range(k * size // count, -(-(k + 1) * size // count)), axis) for k in range(count)
        ]
        means = np.stack([line.mean(axis, dtype=np.float64) for line in lines], axis)
    return means.astype(np.float32)
