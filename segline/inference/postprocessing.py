"""Post-processing: what of a mask is taken for a mistake."""

from collections.abc import Collection

import numpy as np


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

    boxes = ndimage.find_objects(labels, max(values, default=0))
    for value in values:
        if (box := boxes[value - 1]) is None:
            continue
        within = labels[box]
        components, count = ndimage.label(within == value, np.ones((3, 3, 3)))
        if count > 1:
            sizes = np.bincount(components.ravel())
            within[(components > 0) & (components != 1 + np.argmax(sizes[1:]))] = background
