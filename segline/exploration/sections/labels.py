"""How large the labels are, where they lie, and in how many parts."""

from collections import Counter

import numpy as np

from segline.common.wording import counted
from segline.exploration.checks.intensities import decimal_of
from segline.exploration.facts import Facts
from segline.exploration.pictures.charts import Strip, positions, shares, strips
from segline.report.html.markup import Html, chart, element, heading, join, number, table
from segline.report.html.wording import percent
from segline.report.sections.data import classes, labels

_MOST_LABELS = 12
"""In a chart; tables have all."""


def labels_section(facts: Facts) -> Html | None:
    """Volumes, parts, places and shares of what is labelled; nothing where there are no label maps."""
    drawn = [value for value in facts.foreground if facts.millilitres(value)][:_MOST_LABELS]
    if not drawn:
        return None
    hidden = len(facts.foreground) - len(drawn)
    more = element("p", f"The charts leave {counted(hidden, 'label')} out.") if hidden > 0 else None
    return element(
        "section",
        element("h2", "Labels"),
        labels(facts.manifest),
        _imbalance(facts),
        chart(lambda: _shares(facts, drawn), "Share of all voxels: how unbalanced the classes are."),
        chart(lambda: _volumes(facts, drawn), "A dot a case; the stroke is the median."),
        chart(
            lambda: positions(_centres(facts, drawn), "Centres of the labels"),
            "Centre of mass of each label within its volume, a dot a case.",
        ),
        element("h3", "Parts"),
        _components(facts),
        more,
        id="labels",
    )


def values_section(facts: Facts) -> Html | None:
    """The numbers or classes that are to be predicted; nothing where there are none."""
    values = [case.value for case in facts.cases if case.value is not None]
    if not values:
        return None
    if facts.classes:
        return element("section", element("h2", "Classes"), classes(facts.manifest), id="classes")
    rows = [Strip("value", values)]
    middle = decimal_of(float(np.median(values)))
    told = f"{decimal_of(min(values))} to {decimal_of(max(values))}, median {middle}"
    return element(
        "section",
        element("h2", "Values"),
        element("p", f"What is to be predicted is a number a case: {told}."),
        chart(lambda: strips([("value", rows)], "Values"), "A dot a case; the stroke is the median."),
        id="values",
    )


def _counts(facts: Facts) -> Counter[int]:
    counts: Counter[int] = Counter()
    for case in facts.mapped:
        counts.update(case.label_voxels)
    return counts


def _imbalance(facts: Facts) -> Html:
    counts = _counts(facts)
    outside, inside = counts[0], sum(counts.values()) - counts[0]
    told = (
        f"{decimal_of(round(outside / inside, 1))} voxels outside the labels" if inside else "no voxel inside"
    )
    return element("p", f"For each labelled voxel there are {told}.")


def _shares(facts: Facts, drawn: list[int]) -> Html:
    counts = _counts(facts)
    total = sum(counts.values())
    names = {0: facts.manifest.labels[0], **{value: facts.foreground[value] for value in drawn}}
    return shares({name: counts[value] / total for value, name in names.items()}, "Share of all voxels")


def _volumes(facts: Facts, drawn: list[int]) -> Html:
    rows = [Strip(facts.foreground[value], list(facts.millilitres(value).values())) for value in drawn]
    return strips([("volume (ml)", rows)], "Volume of each label in every case")


def _centres(facts: Facts, drawn: list[int]) -> dict[str, np.ndarray]:
    return {
        facts.foreground[value]: np.array(
            [
                measures.labels[value].centre
                for measures in facts.measures.values()
                if value in measures.labels
            ]
        )
        for value in drawn
    }


def _components(facts: Facts) -> Html:
    head = (
        "Label",
        *(heading(words, numeric=True) for words in ("In one part", "Two", "Three or more", "Most parts")),
        heading("At the border", numeric=True),
    )
    rows = []
    for value, name in facts.foreground.items():
        lying = [one.labels[value] for one in facts.measures.values() if value in one.labels]
        if not lying:
            continue
        parts = Counter(min(one.components, 3) for one in lying)
        most = max(one.components for one in lying)
        cut = sum(bool(one.sides) for one in lying)
        figures = (str(parts[1]), str(parts[2]), str(parts[3]), str(most), join([_of(cut, len(lying))]))
        rows.append((element("strong", name), *(number(figure) for figure in figures)))
    return table(head, rows)


def _of(count: int, total: int) -> str:
    return f"{count} ({percent(count / total, 0)})"
