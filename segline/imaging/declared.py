"""What a file declares of its voxels, before memory is taken for them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segline.common.errors import SeglineError
from segline.common.wording import by
from segline.imaging.files import head_in, read_volume
from segline.imaging.formats.table import Declaration, format_of
from segline.imaging.geometry import Shape, as_shape


@dataclass(frozen=True)
class Declared:
    """The size of a volume that has not been read."""

    shape: Shape
    spacing_mm: tuple[float, float, float]
    channels: int
    bytes_a_value: int

    @property
    def voxels(self) -> int:
        """Of one channel."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Of all values, as the file has them."""
        return self.voxels * self.channels * self.bytes_a_value


def declared(paths: Sequence[Path]) -> Declared:
    """What files with one channel each, or one with all, or a folder with a DICOM series, come to.

    Raises:
        SeglineError: missing, of no known format, or not of three spatial axes.
    """
    every = [_declared(path) for path in paths]
    first, channels = every[0], sum(one.channels for one in every)
    return Declared(first.shape, first.spacing_mm, channels, max(one.bytes_a_value for one in every))


def _declared(path: Path) -> Declared:
    shape, spacing, size = _told(path)
    if len(shape) == 2:
        shape, spacing = (*shape, 1), (*spacing, 1.0)
    if len(shape) not in (3, 4):
        raise SeglineError(f"{path}: a volume of three spatial axes is needed, this file is {by(shape)}")
    x, y, z = spacing[:3]
    return Declared(as_shape(shape[:3]), (x, y, z), shape[3] if len(shape) == 4 else 1, size)


def _told(path: Path) -> Declaration:
    if path.is_dir():
        from segline.imaging.dicom.series import declared_series

        return declared_series(path)
    head = head_in(path)
    if found := format_of(head, path):
        return found.declared(head, path, str(path))
    volume = read_volume(path)  # half of a pair, or says what it is instead
    return (*volume.grid.shape, len(volume.array)), volume.grid.spacing_mm, volume.array.itemsize
