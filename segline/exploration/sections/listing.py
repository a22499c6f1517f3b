"""Every case in a table that can be sorted."""

from collections import Counter
from collections.abc import Sequence

from segline.common.wording import counted
from segline.exploration.checks.finding import Finding
from segline.exploration.checks.intensities import decimal_of
from segline.exploration.facts import Facts
from segline.report.html.markup import Content, Html, cell, details, element, heading, number, table
from segline.report.html.wording import dash, times

_MOST_ROWS = 200
_MOST_LABELS = 4


def listing(facts: Facts, findings: Sequence[Finding]) -> Html:
    """Folded away: what each case measures, those with findings first where there are too many."""
    counts = Counter(finding.case for finding in findings)
    ordered = sorted(facts.measures, key=lambda name: (-counts[name], name))
    hidden = len(ordered) - _MOST_ROWS
    labels = list(facts.foreground.items())[:_MOST_LABELS]
    volumes = [facts.millilitres(value) for value, _ in labels]
    head = (
        "Case",
        "Voxels",
        "Spacing (mm)",
        "Axes",
        *(heading(f"{name} (ml)", numeric=True) for _, name in labels),
        heading("Findings", numeric=True),
    )
    rows = [_row(facts, name, volumes, counts[name]) for name in sorted(ordered[:_MOST_ROWS])]
    more = element("p", f"{hidden} more, all without a finding or with few.", class_="absent")
    body = element("div", table(head, rows, "sortable"), class_="tall")
    return details(f"All {counted(len(ordered), 'case')}", body, more if hidden > 0 else None)


def _row(facts: Facts, name: str, volumes: Sequence[dict[str, float]], count: int) -> tuple[Content, ...]:
    spacing, shape = facts.geometry[name]
    of_labels = [
        number(decimal_of(ml[name]), sort=ml[name])
        if name in ml
        else number(dash("not in this case, or its spacing is in another unit"))
        for ml in volumes
    ]
    return (
        cell(name, class_="words"),
        times(shape),
        times(round(mm, 4) for mm in spacing),
        facts.manifest.case(name).orientation,
        *of_labels,
        number(str(count), sort=count),
    )
