"""Label maps as targets: their values are declared, their grid is the image's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segline.common.errors import SeglineError
from segline.common.wording import by
from segline.data.declarations.decathlon import INDEX, Declaration, Pair
from segline.data.manifest import CaseEntry, Manifest
from segline.data.targets import Prepared
from segline.imaging.files import read_to_learn
from segline.imaging.geometry import Grid
from segline.imaging.placement import Placement
from segline.imaging.preprocessing import Preprocessor
from segline.plan import Plan

LOCATIONS_A_LABEL = 4096
_ROUNDING = 1e-3
"""Of a label value in a file of real numbers: 1.0000001 is 1."""


@dataclass(frozen=True)
class LabelMaps:
    """One label map a case, on the grid of its image."""

    def examine(self, root: Path, pair: Pair, declaration: Declaration, grid: Grid) -> dict[int, int]:
        """Count the voxels of every declared label value.

        Raises:
            SeglineError: the image is a single slice, no file is named or it cannot be read, it lies on
                another grid, or has a value that is not declared.
        """
        if min(grid.shape) < 2:
            raise SeglineError(
                f"{pair.images[0]}: a volume of three spatial axes is needed, this file is {by(grid.shape)}"
            )
        if not isinstance(pair.label, str):
            raise SeglineError(
                f"{INDEX}: the label of {pair.name} is {pair.label:g}; name the file of its label map"
            )
        label = read_to_learn(root / pair.label, pair.label)
        if len(label.array) != 1:
            raise SeglineError(f"{pair.label}: a label must be 3-D, this one has {len(label.array)} channels")
        label.grid.require_same(grid, f"{pair.images[0]}: label")
        return _label_voxels(label.array, declaration, pair.label)

    def prepare(self, manifest: Manifest, case: CaseEntry, placement: Placement, plan: Plan) -> Prepared:
        """The class of each voxel ``(X, Y, Z)`` uint8, and up to 4096 voxels of each label.

        Raises:
            SeglineError: the file cannot be read, a voxel has a value that the plan does not know, or the
                plan's crop leaves labelled voxels out.
        """
        volume = manifest.label(case)
        if missed := lost_voxels(manifest.is_labelled(volume.array[0]), placement):
            raise SeglineError(
                f"{case.label_map.path}: the crop above {plan.preprocessing.foreground_above:g} leaves out "
                f"{missed} labelled voxels; set preprocessing.foreground_above to null"
            )
        label = Preprocessor(plan.preprocessing).label(volume, placement, plan.label_values, plan.ignore)
        return Prepared(label, _locations(label, len(plan.labels)))


LABEL_MAPS = LabelMaps()


def lost_voxels(labelled: np.ndarray, placement: Placement) -> int:
    """How many of the labelled voxels ``(X, Y, Z)`` bool lie outside the box of a placement."""
    kept = placement.reorientation.apply(labelled)[placement.crop]
    return int(np.count_nonzero(labelled)) - int(np.count_nonzero(kept))


def _label_voxels(array: np.ndarray, declaration: Declaration, name: str) -> dict[int, int]:
    labels = declaration.labels
    if array.dtype.kind == "f":
        whole = np.rint(array)
        array = np.where(np.abs(array - whole) <= _ROUNDING, whole, array)
    counts = {value: int(np.count_nonzero(array == value)) for value in labels}
    ignored = 0 if declaration.ignore is None else int(np.count_nonzero(array == declaration.ignore))
    if sum(counts.values()) + ignored < array.size:
        known = [*labels, *([] if declaration.ignore is None else [declaration.ignore])]
        _refuse_stray_values(array[~np.isin(array, known)], labels, name)
    return counts


def _refuse_stray_values(stray: np.ndarray, labels: dict[int, str], name: str) -> None:
    broken = stray[stray != np.round(stray)]
    values, counts = np.unique(broken if broken.size else stray, return_counts=True)
    problem = "not a whole number" if broken.size else f"not declared in {INDEX}"
    more = f" and {len(values) - 1} more such values" if len(values) > 1 else ""
    raise SeglineError(
        f"{name}: label value {values[0]:g} in {counts[0]} voxels{more} is {problem}; "
        f"declared are {', '.join(map(str, labels))}: correct the label or declare the value"
    )


def _locations(label: np.ndarray, classes: int) -> np.ndarray:
    """``(n, 4)`` int32 rows of class, x, y, z: evenly spaced voxels of each foreground class."""
    rows = [np.zeros((0, 4), np.int32)]
    for index in range(1, classes):
        voxels = np.argwhere(label == index)
        voxels = voxels[:: max(1, -(-len(voxels) // LOCATIONS_A_LABEL))]
        rows.append(np.column_stack([np.full(len(voxels), index), voxels]).astype(np.int32))
    return np.concatenate(rows)
