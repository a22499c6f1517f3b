"""Labels that a plane parts: where one ends and the other begins is decided once, by all voxels."""

from collections.abc import Sequence
from itertools import accumulate

from segline.common.arrays import Array, functions_for
from segline.plan import Plan

_SUREST = 5.0
"""Log-odds that a voxel counts for at most: a network is too sure where it is wrong, too."""
_NEVER = -1e4
"""The lead of a label beyond its plane."""


def planes_of(plan: Plan) -> list[tuple[int, int, int]]:
    """Of each plane of a plan the axis, and the leads below and above it, as :func:`part` takes them."""
    lead = plan.label_values[1:].index
    return [
        ("xyz".index(plane.axis), lead(plane.lower), lead(plane.upper))
        for plane in plan.inference.planes or ()
    ]


def part(leads: Array, planes: Sequence[tuple[int, int, int]]) -> None:
    """Have nothing of one label on the other's side of a plane, in place.

    A plane lies where the log-odds of its two labels, added up over the voxels that are of either, say.
    What was either label is the side's own then: what is background hardly changes.

    Args:
        leads: ``(K - 1, X, Y, Z)``, each foreground class's score less the background's, before softmax.
        planes: axis, and which of the leads lie below and above it.
    """
    xp = functions_for(leads)
    for axis, lower, upper in planes:
        either = xp.logaddexp(leads[lower], leads[upper])
        there = either > 0
        for number, lead in enumerate(leads):
            if number not in (lower, upper):
                there = there & (either > lead)
        odds = xp.clip(leads[upper] - leads[lower], -_SUREST, _SUREST)
        across = tuple(other for other in range(3) if other != axis)
        evidence = xp.sum(xp.where(there, odds, xp.zeros_like(odds)), axis=across)
        against = [0.0, *accumulate(evidence.tolist())]  # of each place of the plane, but for a constant
        first_above = against.index(min(against))
        for beyond, own, other in ((False, lower, upper), (True, upper, lower)):
            side = [slice(None)] * 3
            side[axis] = slice(first_above, None) if beyond else slice(first_above)
            leads[(own, *side)], leads[(other, *side)] = either[tuple(side)], _NEVER  # Python 3.9: bundles
