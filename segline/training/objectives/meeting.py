"""Where labels meet: whether raters part two of them by a plane."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from segline.imaging.preprocessing import IGNORED
from segline.plan import Plan, Plane

_CASES = 3
"""In which two labels must touch for anything to be said of them."""
_MOST = 2 / 3
"""Of those cases must show the plane."""
_IN_PLANE = 0.95
"""Of the faces at which two labels touch must lie in it."""
_OF_SECTION = 0.5
"""Of the smaller label's section beside it must touch the other label: a corner shows nothing."""


def planes_between(labels: Iterable[np.ndarray], plan: Plan) -> tuple[Plane, ...]:
    """The planes that part labels of most cases in which those touch, always across one axis and one way.

    Args:
        labels: of each case ``(X, Y, Z)`` class indices on the plan's grid.
        plan: whose labels they are.
    """
    if len(plan.foreground) < 2:
        return ()
    touching: Counter[frozenset[int]] = Counter()
    parted: Counter[tuple[int, int, int]] = Counter()
    for label in labels:
        for meeting in _meetings(label):
            touching[frozenset((meeting.lower, meeting.upper))] += 1
            parted[meeting.axis, meeting.lower, meeting.upper] += meeting.is_plane
    values = plan.label_values
    return tuple(
        Plane(axis="xyz"[axis], lower=values[lower], upper=values[upper])
        for (axis, lower, upper), count in sorted(parted.items())
        if (cases := touching[frozenset((lower, upper))]) >= _CASES and count >= _MOST * cases
    )


@dataclass(frozen=True)
class _Meeting:
    """How two classes of one case touch: where most of their faces do that lie in one plane."""

    axis: int
    lower: int
    upper: int
    is_plane: bool


def _meetings(label: np.ndarray) -> Iterator[_Meeting]:
    """Of each two classes that touch."""
    faces = _faces(label)
    totals: Counter[frozenset[int]] = Counter()
    largest: dict[frozenset[int], tuple[int, tuple[int, int, int, int]]] = {}
    for place, count in faces.items():
        pair = frozenset(place[2:])
        totals[pair] += count
        largest[pair] = max(largest.get(pair, (0, place)), (count, place))
    for pair, (count, (axis, below, lower, upper)) in largest.items():
        slices = np.moveaxis(label, axis, 0)
        section = min(int((slices[below] == lower).sum()), int((slices[below + 1] == upper).sum()))
        is_plane = count >= _IN_PLANE * totals[pair] and count >= _OF_SECTION * section
        yield _Meeting(axis, lower, upper, is_plane)


def _faces(label: np.ndarray) -> dict[tuple[int, int, int, int], int]:
    """Of voxels of two classes that touch: how many by axis, lower slice, and class there and above it."""
    counts: dict[tuple[int, int, int, int], int] = {}
    for axis in range(3):
        slices = np.moveaxis(label, axis, 0)
        low, high = slices[:-1], slices[1:]
        touch = (low != high) & (low > 0) & (high > 0) & (low != IGNORED) & (high != IGNORED)
        faces = np.stack([np.nonzero(touch)[0], low[touch], high[touch]])
        places, found = np.unique(faces, axis=1, return_counts=True)
        counts |= {
            (axis, *place): count for place, count in zip(places.T.tolist(), found.tolist(), strict=True)
        }
    return counts
