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
    from scipy import ndimage

    for value in values:
        there = labels == value
        box = bounding_box(there)  # SciPy's find_objects takes ten times as long
        within = labels[box]
        components, count = ndimage.label(there[box], np.ones((3, 3, 3)))
        if count > 1:
            sizes = np.bincount(components.ravel())
            within[(components > 0) & (components != 1 + np.argmax(sizes[1:]))] = background
