"""Tiling: how a volume is cut into equal windows, decided by its shape and the plan alone.

Every backend sees the same windows, so that none of its differences from another comes from them.
"""

import itertools
from dataclasses import dataclass

from segline.imaging.geometry import Box, Shape, as_shape
from segline.plan import Inference


@dataclass(frozen=True)
class Tiling:
    """Equal windows over a volume, as few as the plan's largest window and least overlap allow."""

    shape: Shape
    """Of the volume, padded where one window is longer."""
    window: Shape
    starts: tuple[Shape, ...]
    """First voxel of each window."""

    @classmethod
    def of(cls, shape: Shape, inference: Inference, stride: Shape) -> "Tiling":
        """Cut a volume of ``shape``; windows are multiples of ``stride``, the network's."""
        axes = [
            tile_axis(*along)
            for along in zip(
                shape,
                inference.smallest_window,
                inference.largest_window,
                inference.overlap,
                stride,
                strict=True,
            )
        ]
        lengths = as_shape(length for length, _ in axes)
        return cls(
            shape=as_shape(max(size, length) for size, length in zip(shape, lengths, strict=True)),
            window=lengths,
            starts=tuple(as_shape(start) for start in itertools.product(*(starts for _, starts in axes))),
        )

    @property
    def boxes(self) -> list[Box]:
        """Each window's place in the padded volume."""
        return [
            (slice(x, x + self.window[0]), slice(y, y + self.window[1]), slice(z, z + self.window[2]))
            for x, y, z in self.starts
        ]

    @property
    def voxels(self) -> int:
        """Voxels that go through the network."""
        x, y, z = self.window
        return len(self.starts) * x * y * z


def tile_axis(size: int, shortest: int, longest: int, overlap: int, multiple: int) -> tuple[int, list[int]]:
    """Length and starts of the fewest windows along an axis, evenly spread.

    >>> tile_axis(270, 96, 160, 24, 16), tile_axis(100, 96, 160, 24, 16), tile_axis(100, 96, 96, 24, 16)
    ((160, [0, 110]), (112, [0]), (96, [0, 4]))
    """
    count = 1 if size <= longest else -(-(size - overlap) // (longest - overlap))
    needed = -(-(size + (count - 1) * overlap) // count)
    length = max(shortest, -(-needed // multiple) * multiple)
    spare = max(0, size - length)
    return length, [round(k * spare / (count - 1)) for k in range(count)] if count > 1 else [0]
