"""Proposals: what a data set's geometry and intensities suggest for each part of a plan.

Spacing, patch and intensity follow the reasoning of nnU-Net (Isensee et al., Nature Methods 2021).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from segline.common.errors import SeglineError
from segline.data.fingerprint import Fingerprint
from segline.imaging.geometry import Shape, as_shape
from segline.inference.tiling import tile_axis
from segline.plan import NETWORKS
from segline.plan.networks import Architecture

PATCH_VOXELS = 96**3
BATCH_VOXELS = 2 * PATCH_VOXELS
LARGEST_BATCH = 4
VOXELS_AT_ONCE = 2**24
"""Of a window: half a gigabyte in the flagship's network, and most abdominal CT in one pass."""
SMALLEST_FEATURE_MAP = 5
MOST_HALVINGS = 4
WHOLE_SHARE = 0.75
"""Of each edge of a volume that a patch could hold whole; see ``benchmarks/RECIPE.md``."""
FULL_RESOLUTION_VOXELS = 48**3
"""Of the largest patch whose network begins at the plan's spacing; a larger one's begins at twice that."""
THICK_SLICES = 3.0
"""Largest to smallest spacing from which a grid counts as anisotropic."""


def propose_preprocessing(fingerprint: Fingerprint) -> dict[str, Any]:
    """Median spacing, but fine slices where slices are thick; HU window for CT, z-score for the rest."""
    spacings = np.array(fingerprint.spacings_mm)
    target = np.median(spacings, axis=0)
    thick = int(np.argmax(target))
    if target[thick] > THICK_SLICES * target.min():
        target[thick] = max(np.percentile(spacings[:, thick], 10), target.min())
    is_ct = [modality.upper() == "CT" for modality in fingerprint.modalities]
    windows = [
        {"rule": "window", "window": (low, high)} for low, _, high in fingerprint.foreground_percentiles
    ]
    return {
        "spacing_mm": tuple(round(float(mm), 4) for mm in target),
        "intensity": [
            window if ct else {"rule": "zscore"} for ct, window in zip(is_ct, windows, strict=True)
        ],
        "foreground_above": fingerprint.foreground_above,
    }


def propose_patch(shapes: Sequence[Shape]) -> Shape:
    """The median shape, cut to a cube's edge where it exceeds ``PATCH_VOXELS``, in multiples of the stride.

    An axis that is cut is rounded down, for memory. Where nothing is, ``WHOLE_SHARE`` of each edge is rounded
    up: more patches a second teach more than the whole volume in each.

    >>> propose_patch([(35, 51, 36)]), propose_patch([(270, 270, 90)])
    ((32, 40, 32), (96, 96, 96))
    """
    median = np.median(np.array(shapes), axis=0).astype(int)
    edges = range(int(median.max()), 0, -1)
    edge = next(edge for edge in edges if np.minimum(median, edge).prod() <= PATCH_VOXELS)
    sizes = np.minimum(median, edge)
    multiples = np.array([2 ** _halvings(int(size)) for size in sizes])
    if (median <= edge).all():
        sizes = np.ceil(WHOLE_SHARE * sizes).astype(int)
    rounded = np.where(median > edge, sizes // multiples, -(-sizes // multiples)) * multiples
    return as_shape(rounded)


def accepted_patch(patch: Shape, network: Architecture) -> Shape:
    """The patch, or the next larger one that the network takes.

    >>> from segline.plan.networks import BasicUNet
    >>> accepted_patch((32, 40, 32), BasicUNet())
    (32, 48, 32)
    """
    stride = network.total_stride
    sizes = [-(-size // step) * step for size, step in zip(patch, stride, strict=True)]
    if network.has_instance_norm and as_shape(sizes) == stride:
        sizes[0] *= 2
    return as_shape(sizes)


def propose_network(patch: Shape, name: str = "unet") -> dict[str, Any]:
    """Halve each axis while the feature map stays large enough; what that makes is for the network to say.

    The first level of a small patch's network keeps the plan's spacing, and halves nothing.

    >>> propose_network((96, 96, 24))["strides"]
    [(2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 2)]
    >>> propose_network((32, 40, 32))["strides"]
    [(1, 1, 1), (2, 2, 2), (2, 2, 2)]

    Raises:
        SeglineError: there is no such network.
    """
    if name not in NETWORKS:
        raise SeglineError(f"network {name!r}: unknown; there are {', '.join(NETWORKS)}")
    full_resolution = bool(np.prod(patch) <= FULL_RESOLUTION_VOXELS)
    halvings = as_shape(_halvings(size) for size in patch)
    return {"name": name, **NETWORKS[name].proposed(halvings, full_resolution)}


def propose_inference(shapes: Sequence[Shape], patch: Shape, network: Architecture) -> dict[str, Any]:
    """Windows of at least the patch; with BatchNorm the cheapest for ``shapes``, up to ``VOXELS_AT_ONCE``.

    The answer of some norms depends on the window: there it is the patch.
    """
    longest = patch if network.needs_fixed_window else cheapest_window(shapes, patch, network.total_stride)
    batch = VOXELS_AT_ONCE // int(np.prod(longest))
    return {
        "smallest_window": patch,
        "largest_window": longest,
        "overlap": tuple(map(_overlap, patch)),
        "batch_size": min(max(batch, 1), LARGEST_BATCH),
    }


def cheapest_window(shapes: Sequence[Shape], patch: Shape, stride: Shape) -> Shape:
    """The largest window under which the fewest voxels of ``shapes`` go through the network.

    >>> cheapest_window([(270, 270, 90), (200, 210, 80)], (96, 96, 96), (16, 16, 16))
    (272, 272, 96)
    """
    lengths, costs = [], []
    for axis, (shortest, multiple) in enumerate(zip(patch, stride, strict=True)):
        sizes = [shape[axis] for shape in shapes]
        lengths.append(np.arange(shortest, max(shortest, *sizes) + multiple, multiple))
        costs.append([[_computed(size, shortest, int(n), multiple) for size in sizes] for n in lengths[-1]])
    total = np.einsum("ic,jc,kc->ijk", *(np.array(cost, dtype=float) for cost in costs))
    voxels = np.einsum("i,j,k->ijk", *(length.astype(float) for length in lengths))
    allowed = np.where(voxels <= max(VOXELS_AT_ONCE, np.prod(patch)), total, np.inf)
    best = np.unravel_index(np.argmin(allowed), allowed.shape)
    return as_shape(length[index] for length, index in zip(lengths, best, strict=True))


def _computed(size: int, shortest: int, longest: int, multiple: int) -> int:
    """Voxels along an axis that go through the network."""
    length, starts = tile_axis(size, shortest, longest, _overlap(shortest), multiple)
    return length * len(starts)


def _overlap(edge: int) -> int:
    """Least overlap of two windows, for an edge of the patch."""
    return edge // 4


def propose_training(patch: Shape) -> dict[str, Any]:
    """A batch of about two flagship patches of 96x96x96."""
    batch = BATCH_VOXELS // int(np.prod(patch))
    return {"patch_size": patch, "batch_size": min(max(batch, 2), LARGEST_BATCH), "epochs": 300}


def _halvings(size: int) -> int:
    """How often ``size`` can be halved (rounding up) and still be ``SMALLEST_FEATURE_MAP`` voxels.

    >>> _halvings(96), _halvings(40), _halvings(9)
    (4, 3, 1)
    """
    return max(n for n in range(MOST_HALVINGS + 1) if n == 0 or -(-size // 2**n) >= SMALLEST_FEATURE_MAP)
