"""What answers are compared by: the figures of a kind of task, and how much of two answers is equal."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segline.evaluation.figures import SEGMENTATION, Figure
from segline.evaluation.masks.pairs import voxel_agreement
from segline.imaging.files import read_volume


@dataclass(frozen=True)
class Yardstick:
    """What the answers of one kind of task are compared by."""

    figures: tuple[Figure, ...]
    """The first decides."""
    part: str
    """What an answer is made of, as ``voxel``."""
    agreement: Callable[[Path, Path], float]
    """Share of the parts that are equal in the answers of two files."""


def mask_agreement(a: Path, b: Path) -> float:
    """Share of the voxels at which the masks of two files are equal, background included.

    Raises:
        SeglineError: a file cannot be read, or the two are not of one size.
    """
    return voxel_agreement(read_volume(a).array, read_volume(b).array)


MASKS = Yardstick(SEGMENTATION, "voxel", mask_agreement)
