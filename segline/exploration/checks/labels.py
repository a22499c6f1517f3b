"""What label maps look like: missing and cut labels, parts, neighbours, volumes."""

from collections import Counter
from collections.abc import Iterator, Mapping

from segline.exploration.checks.finding import Z_LIMIT, Finding, is_rule, median, robust_z, some_of
from segline.exploration.facts import Facts
from segline.exploration.measures import LabelMeasures
from segline.report.html.wording import decimal, percent

_LEAST_SD = 0.1
"""Of the logarithm of an organ's volume, which differs by a tenth even where most happen to be equal."""


def missing_labels(facts: Facts) -> Iterator[Finding]:
    """Empty label maps, labels that no case has, and labels that nearly all other cases have."""
    filled = [case for case in facts.mapped if facts.measures[case.name].labels]
    for case in facts.mapped:
        if not facts.measures[case.name].labels:
            yield Finding(
                level="wrong" if is_rule(len(filled), len(facts.mapped)) else "odd",
                check="Empty label map",
                case=case.name,
                what="no voxel is labelled",
                number="0 voxels",
                remedy="label it, or take it out; it may stay if there is truly nothing",
            )
    for value, name in facts.foreground.items():
        having = [case.name for case in filled if value in facts.measures[case.name].labels]
        if filled and not having:
            what = f"label {value}, {name}, is declared, and no case has it"
            remedy = "take it out of dataset.json, or look for its voxels under another value"
            yield Finding("wrong", "Label in no case", None, what, f"0 of {len(filled)} cases", remedy)
        elif is_rule(len(having), len(filled)):
            for case in filled:
                if case.name not in having:
                    what = f"has no {name}, as {len(having)} of {len(filled)} cases have"
                    remedy = "label it, unless it truly is not there"
                    yield Finding("odd", "Missing label", case.name, what, "0 voxels", remedy)


def cut_labels(facts: Facts) -> Iterator[Finding]:
    """Labels that reach the border of the volume."""
    for name, lying in _by_label(facts):
        cut = {case: one.sides for case, one in lying.items() if one.sides}
        if not cut:
            continue
        if not is_rule(len(lying) - len(cut), len(lying)):
            counts = Counter(side for touched in cut.values() for side in touched)
            most = ", ".join(f"{side} {count}" for side, count in counts.most_common(3))
            yield Finding(
                level="remark",
                check="Label at the volume's border",
                case=None,
                what=f"{name} reaches its volume's border ({most}) in {some_of(cut)}: cut, or crops",
                number=f"{len(cut)} of {len(lying)} cases",
                remedy="its volumes are of what is inside; nothing else if crops are what is predicted",
            )
            continue
        for case, sides in cut.items():
            yield Finding(
                level="odd",
                check="Label at the volume's border",
                case=case,
                what=f"{name} reaches the volume's {' and '.join(sides)} border: it may be cut",
                number=f"{len(cut)} of {len(lying)} cases",
                remedy="keep it if scans like this will be predicted; leave it out of what is tested",
            )


def touching_labels(facts: Facts) -> Iterator[Finding]:
    """Labels that touch each other where those of nearly all others do not."""
    pairs = Counter(pair for measures in facts.measures.values() for pair in measures.neighbours)
    for pair in sorted(pairs):
        names = [facts.foreground[value] for value in pair]
        both = [case.name for case in facts.mapped if {*pair} <= {*facts.measures[case.name].labels}]
        touching = [name for name in both if pair in facts.measures[name].neighbours]
        if not is_rule(len(both) - len(touching), len(both)):
            continue
        for name in touching:
            yield Finding(
                level="odd",
                check="Labels that touch",
                case=name,
                what=f"{names[0]} touches {names[1]}, as in few other cases",
                number=f"{len(touching)} of {len(both)} cases",
                remedy="look at the border between them",
            )


def parted_labels(facts: Facts) -> Iterator[Finding]:
    """Labels in several components where most have one."""
    for name, lying in _by_label(facts):
        parted = {case: one for case, one in lying.items() if one.components > 1}
        if not is_rule(len(lying) - len(parted), len(lying)):
            continue
        for case, one in parted.items():
            yield Finding(
                level="odd",
                check="Label in parts",
                case=case,
                what=f"{name} has {one.components} parts, the largest {percent(one.largest_share)} of it",
                number=f"{one.components} components",
                remedy="remove stray voxels, unless the parts are real",
            )


def outlying_volumes(facts: Facts) -> Iterator[Finding]:
    """Labels much larger or smaller than in the other cases."""
    for value, name in facts.foreground.items():
        volumes = facts.millilitres(value)
        for case, z in sorted(robust_z(volumes, _LEAST_SD).items()):
            if abs(z) > Z_LIMIT:
                usual = median(volumes.values())
                yield Finding(
                    level="odd",
                    check="Outlying volume",
                    case=case,
                    what=f"{name} fills {volumes[case]:.3g} ml, the median is {usual:.3g} ml",
                    number=f"z = {decimal(z, 1)}",
                    remedy="look at its overlay: disease, a cut organ, or a wrong label",
                )


def _by_label(facts: Facts) -> Iterator[tuple[str, Mapping[str, LabelMeasures]]]:
    """Name of each label, and how it lies in each case that has it."""
    for value, name in facts.foreground.items():
        lying = {
            case: measures.labels[value]
            for case, measures in facts.measures.items()
            if value in measures.labels
        }
        if lying:
            yield name, lying
