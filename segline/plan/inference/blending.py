"""Blending by name: how much each voxel of a window counts where windows overlap, along one axis.

One more is one function and one line in ``PROFILES``.
"""

import math
from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import AfterValidator

from segline.common.arrays import Array, functions_for

_SIGMA_SHARE = 1 / 8
"""Of the window's edge; after nnU-Net."""


def gaussian(offsets: Array) -> Array:
    """A bell over the edge, given by offsets ``(n,)`` from its middle, voxels."""
    return functions_for(offsets).exp(-0.5 * (offsets / (len(offsets) * _SIGMA_SHARE)) ** 2)


def hann(offsets: Array) -> Array:
    """Half a cosine wave squared, which two windows that overlap by half add up to 1."""
    return functions_for(offsets).cos(offsets * (math.pi / len(offsets))) ** 2


def constant(offsets: Array) -> Array:
    """Every voxel alike."""
    return functions_for(offsets).ones_like(offsets)


PROFILES: Mapping[str, Callable[[Array], Array]] = {
    "gaussian": gaussian,
    "hann": hann,
    "constant": constant,
}


def _known(name: str) -> str:
    if name not in PROFILES:
        raise ValueError(f"{name!r}: there are {', '.join(PROFILES)}")
    return name


Blending = Annotated[str, AfterValidator(_known)]
