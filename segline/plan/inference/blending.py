"""Blending by name: how much each voxel of a window counts where windows overlap, along one axis.

One more is one function and one line in ``PROFILES``.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

if TYPE_CHECKING:
    from torch import Tensor

_SIGMA_SHARE = 1 / 8
"""Of the window's edge; after nnU-Net."""


def gaussian(offsets: "Tensor") -> "Tensor":
    """A bell over the edge, given by offsets ``(n,)`` from its middle, voxels."""
    return (-0.5 * (offsets / (len(offsets) * _SIGMA_SHARE)) ** 2).exp()


def hann(offsets: "Tensor") -> "Tensor":
    """Half a cosine wave squared, which two windows that overlap by half add up to 1."""
    return (offsets * (math.pi / len(offsets))).cos() ** 2


def constant(offsets: "Tensor") -> "Tensor":
    """Every voxel alike."""
    return offsets.new_ones(len(offsets))


PROFILES: Mapping[str, Callable[["Tensor"], "Tensor"]] = {
    "gaussian": gaussian,
    "hann": hann,
    "constant": constant,
}


def _known(name: str) -> str:
    if name not in PROFILES:
        raise ValueError(f"{name!r}: there are {', '.join(PROFILES)}")
    return name


Blending = Annotated[str, AfterValidator(_known)]
