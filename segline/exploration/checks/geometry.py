"""How cases lie in space: orientation, units and outlying sizes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from segline.exploration.checks.finding import Z_LIMIT, Finding, in_times, is_rule, robust_z
from segline.exploration.facts import Facts, median_spacing
from segline.report.html.wording import decimal, times

_AXES = ("right to left", "back to front", "bottom to top")


def orientations(facts: Facts) -> Iterator[Finding]:
    """Cases whose axes run otherwise than those of most."""
    counts = Counter(case.orientation for case in facts.cases)
    usual, count = counts.most_common(1)[0]
    if not is_rule(count, len(facts.cases)):
        return
    for case in facts.cases:
        if case.orientation != usual:
            yield Finding(
                level="remark",
                check="Orientation",
                case=case.name,
                what=f"its axes run {case.orientation}, those of {count} of {len(facts.cases)} cases {usual}",
                number=case.orientation,
                remedy="nothing, if the header is right: segline reorients; look at its overlay if not",
            )


def spacing_units(facts: Facts) -> Iterator[Finding]:
    """Cases whose spacing is some thousand times off."""
    middle = median_spacing(facts.geometry)
    for name in sorted(facts.misscaled):
        spacing = facts.geometry[name][0]
        ratio = float(np.exp(np.log(np.array(spacing) / middle).mean()))
        yield Finding(
            level="wrong",
            check="Spacing in another unit",
            case=name,
            what=f"voxels are {in_times(ratio)} the median size; metres or micrometres taken for mm?",
            number=f"{times(round(mm, 5) for mm in spacing)} mm",
            remedy="correct the voxel size in the headers of image and label",
        )


def outlying_sizes(facts: Facts) -> Iterator[Finding]:
    """Cases whose spacing or field of view is far from the others'."""
    wrong = facts.misscaled
    spacings = {name: spacing for name, (spacing, _) in facts.geometry.items() if name not in wrong}
    extents = {
        name: tuple(mm * voxels for mm, voxels in zip(spacing, facts.geometry[name][1], strict=True))
        for name, spacing in spacings.items()
    }
    for what, lengths in (("spacing", spacings), ("field of view", extents)):
        for name, (axis, z) in sorted(_farthest(lengths).items()):
            usual = float(np.median([along[axis] for along in lengths.values()]))
            yield Finding(
                level="odd",
                check=f"Outlying {what}",
                case=name,
                what=f"{what} {_AXES[axis]} is {lengths[name][axis]:.4g} mm, the median {usual:.4g} mm",
                number=f"z = {decimal(z, 1)}",
                remedy="see that the header is right and the case belongs here; it may stay if so",
            )


def _farthest(lengths: Mapping[str, Sequence[float]]) -> dict[str, tuple[int, float]]:
    """Axis and robust z of the cases with one beyond the limit."""
    found: dict[str, tuple[int, float]] = {}
    for axis in range(3):
        for name, z in robust_z({name: along[axis] for name, along in lengths.items()}).items():
            if abs(z) > max(Z_LIMIT, abs(found[name][1]) if name in found else 0.0):
                found[name] = (axis, z)
    return found
