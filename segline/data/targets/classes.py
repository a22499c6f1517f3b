"""Classes as targets: one a case, by its number."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segline.common.errors import SeglineError
from segline.data.declarations.decathlon import INDEX, Declaration, Pair
from segline.data.manifest import CaseEntry, Manifest
from segline.data.targets import Prepared
from segline.imaging.geometry import Grid
from segline.imaging.placement import Placement
from segline.plan import Plan


@dataclass(frozen=True)
class Classes:
    """The class of each case: that of its folder, or the number that ``dataset.json`` gives it."""

    def examine(self, root: Path, pair: Pair, declaration: Declaration, grid: Grid) -> dict[int, int]:  # noqa: ARG002
        """Check that the class is declared; there are no voxels to count.

        Raises:
            SeglineError: it is not.
        """
        if isinstance(pair.label, str):
            raise SeglineError(
                f"{INDEX}: the label of {pair.name} is a file; give the number of its class, "
                "or leave the kind of the task out for a segmentation"
            )
        if pair.label not in declaration.labels:
            known = ", ".join(f"{value} {name}" for value, name in declaration.labels.items())
            raise SeglineError(f"{INDEX}: {pair.name} is of class {pair.label:g}; declared are {known}")
        return {}

    def prepare(self, manifest: Manifest, case: CaseEntry, placement: Placement, plan: Plan) -> Prepared:  # noqa: ARG002
        """The index of the class among the plan's, ``()`` int64.

        Raises:
            SeglineError: the plan does not know it.
        """
        return Prepared(np.array(index_of_class(case, plan), np.int64), np.zeros((0, 4), np.int32))


CLASSES = Classes()


def index_of_class(case: CaseEntry, plan: Plan) -> int:
    """Which of the network's classes a case is of.

    Raises:
        SeglineError: the plan does not know its class, or it has none.
    """
    if case.value not in plan.label_values:
        known = ", ".join(f"{value} {name}" for value, name in plan.labels.items())
        raise SeglineError(f"{case.name}: its class is {case.value}; the plan knows {known}")
    return plan.label_values.index(int(case.value))
