"""Post-processing: what of a mask is taken for a mistake."""

from collections.abc import Collection

import numpy as np

from segline.imaging.geometry import bounding_box


def keep_largest_components(labels: np.ndarray, values: Collection[int], background: int = 0) -> None:
    """Of each of some labels, leave the largest connected component, in place.

    Voxels are connected by faces, edges or corners (26 neighbours), as in MONAI's
    ``KeepLargestConnectedComponent``. Of components of one size the first in the array's order stays.

    Args:
        labels: ``(x, y, z)`` integers.
        values: of the labels; those that do not occur change nothing.
        background: what the other components become.
    """
    import cc3d

    for value in values:
        there = labels == value
        box = bounding_box(there)
        # in one piece, as masks lie: of a part of a larger array cc3d takes three times as long
        inside, within = np.asfortranarray(there[box]), labels[box]
        components = cc3d.connected_components(inside, connectivity=26)
        sizes = np.bincount(components.T[inside.T])[1:]
        if len(sizes) > 1:
            within[inside & (components != _first_of_the_largest(components, sizes))] = background


def _first_of_the_largest(components: np.ndarray, sizes: np.ndarray) -> int:
    """Number of the component, from 1."""
    largest = 1 + np.flatnonzero(sizes == sizes.max())
    if len(largest) == 1:
        return int(largest[0])
    return int(components.ravel()[np.argmax(np.isin(components, largest))])
