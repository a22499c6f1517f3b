"""Labels that a plane parts: where one ends and the other begins is decided once, by all voxels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from segline.common.arrays import Array, functions_for
from segline.plan import Plan
from segline.plan.inference.planes import POINTS

_SUREST = 5.0
"""Log-odds that a voxel counts for at most: a network is too sure where it is wrong, too."""
_NEVER = -1e4
"""The lead of a label beyond its plane."""


def planes_of(plan: Plan) -> list[tuple[Any, ...]]:
    """Each plane of a plan, as :func:`part` takes them."""
    lead = plan.label_values[1:].index
    return [
        (
            "xyz".index(plane.axis),
            lead(plane.lower),
            lead(plane.upper),
            (line.share, line.start, line.weights) if (line := plane.centre_line) else None,
        )
        for plane in plan.inference.planes or ()
    ]


def part(leads: Array, planes: Sequence[tuple[Any, ...]]) -> None:
    """Have nothing of one label on the other's side of a plane, in place.

    What was either label is the side's own then: what is background hardly changes.

    Args:
        leads: ``(K - 1, X, Y, Z)``, each foreground class's score less the background's, before softmax.
        planes: axis, which of the leads lie below and above it, and of a centre line how much it counts, its
            start and its weights, or None.
    """
    xp = functions_for(leads)
    for axis, lower, upper, line in planes:
        either = xp.logaddexp(leads[lower], leads[upper])
        place = place_of(leads, either, axis, lower, upper, line)
        for beyond, own, other in ((False, lower, upper), (True, upper, lower)):
            side = [slice(None)] * 3
            side[axis] = slice(place, None) if beyond else slice(place)
            leads[(own, *side)], leads[(other, *side)] = either[tuple(side)], _NEVER  # Python 3.9: bundles


def place_of(
    leads: Array, either: Array, axis: int, lower: int, upper: int, line: "tuple[Any, ...] | None" = None
) -> int:
    """The first slice above the plane of two labels, of which ``either`` is the lead; else as :func:`part`.

    It lies where the log-odds of the two, added up over the voxels that are of either, say. Where there is a
    centre line, and the network sees both labels, it lies so much nearer to what that tells as it counts.
    """
    xp = functions_for(leads)
    there = either > 0
    for number, lead in enumerate(leads):
        if number not in (lower, upper):
            there = there & (either > lead)
    odds = xp.clip(leads[upper] - leads[lower], -_SUREST, _SUREST)
    across = tuple(other for other in range(3) if other != axis)
    evidence = xp.sum(xp.where(there, odds, xp.zeros_like(odds)), axis=across)
    seen = first_above(evidence.tolist())
    filled = xp.any(there, axis=across).tolist()
    if line is None or not any(filled[:seen]) or not any(filled[seen:]):
        return seen
    share, start, weights = line
    centre, measures = centre_line(there, axis)
    told = centre + start + float(np.dot(weights, measures))
    return min(max(int(np.floor(seen + share * (told - seen) + 0.5)), 0), len(filled))


def first_above(evidence: "Sequence[float] | np.ndarray") -> int:
    """The first slice above a plane, of what each slice says for the label that lies there."""
    return int(np.argmin(np.append(0, np.cumsum(evidence))))


def centre_line(there: Array, axis: int) -> "tuple[float, np.ndarray]":
    """The line through the centres of a body's slices, at equal shares of its volume.

    Args:
        there: ``(X, Y, Z)`` bool, some of it true.
        axis: across which the slices lie.

    Returns:
        The body's centre along the axis, voxels from the array's edge; and ``(MEASURES,)``, in voxels: the
        cube root of the body's size, how far along the axis from the centre each point of the line lies, and
        how far across it, one way and the other.
    """
    by_slice = []
    one, other = (across for across in range(3) if across != axis)
    for kept, gone in ((one, other), (other, one)):
        shadow = np.asarray(functions_for(there).sum(there, axis=gone).tolist(), np.float64)
        by_slice.append(shadow if axis < kept else shadow.T)
    sizes = by_slice[0].sum(axis=1)
    total, filled = sizes.sum(), np.flatnonzero(sizes)
    middles = filled + 0.5
    centre = float(sizes[filled] @ middles / total)
    shares = (np.arange(POINTS) + 0.5) / POINTS
    along = np.interp(shares * total, np.append(0, np.cumsum(sizes)), np.arange(len(sizes) + 1))
    measures = [np.cbrt([total]), along - centre]
    for shadow in by_slice:
        centres = shadow[filled] @ np.arange(shadow.shape[1]) / sizes[filled]
        measures.append(np.interp(along, middles, centres) - sizes[filled] @ centres / total)
    return centre, np.concatenate(measures)
