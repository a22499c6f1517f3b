"""What is to be predicted of a case: how it is checked, and what becomes of it on the plan's grid."""

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from segline.data.declarations.decathlon import Declaration, Pair
from segline.data.manifest import CaseEntry, Manifest
from segline.imaging.geometry import Grid
from segline.imaging.placement import Placement
from segline.plan import Plan


class Prepared(NamedTuple):
    """A case's target as it is kept beside its image."""

    target: np.ndarray
    """Such as ``(X, Y, Z)`` uint8 class indices, or ``()`` float32 a number."""
    locations: np.ndarray
    """``(n, 4)`` int32 rows of class, x, y, z: where patches may be centred; none if it does not matter."""


class Targets(Protocol):
    """The targets of one kind of task; goes to other processes, so it must pickle."""

    def examine(self, root: Path, pair: Pair, declaration: Declaration, grid: Grid) -> dict[int, int]:
        """Check that a case's target is what is declared, and fits the image's ``grid``.

        Returns:
            Voxels of every declared label value, where there is a label map.

        Raises:
            SeglineError: it does not, or cannot be read.
        """

    def prepare(self, manifest: Manifest, case: CaseEntry, placement: Placement, plan: Plan) -> Prepared:
        """The target on the plan's grid.

        Raises:
            SeglineError: its file cannot be read, or it is not what the plan knows.
        """
