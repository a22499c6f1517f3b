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
        within = labels[box]
        components = cc3d.connected_components(there[box], connectivity=26)
        sizes = np.bincount(components.ravel())[1:]
        if len(sizes) > 1:
            of_the_largest = np.isin(components, 1 + np.flatnonzero(sizes == sizes.max()))
            kept = components.ravel()[np.argmax(of_the_largest)]
            within[(components > 0) & (components != kept)] = background
