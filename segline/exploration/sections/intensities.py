"""What values the images have, in and outside the labels."""

from collections.abc import Iterator

import numpy as np

from segline.exploration.checks.intensities import decimal_of
from segline.exploration.facts import Facts
from segline.exploration.measures import OUTSIDE
from segline.exploration.pictures.charts import MOST_DOTS, histograms, ranges
from segline.report.html.markup import Content, Html, chart, element, heading, join, number, table
from segline.report.html.wording import dash

_PERCENTS = (0.5, 25, 50, 75, 99.5)
_MOST_CURVES = 10
_MOST_CHANNELS = 8
_COMPARABLE = 5.0
"""Ratio of the cases' ranges up to which values as stored are drawn on one axis."""


def intensities_section(facts: Facts) -> Html:
    """By channel: how often values occur, each case's range, and percentiles."""
    channels = list(enumerate(facts.manifest.modalities))
    hidden = len(channels) - _MOST_CHANNELS
    more = element("p", f"{hidden} more channels", class_="absent") if hidden > 0 else None
    shown = [piece for channel, _ in channels[:_MOST_CHANNELS] for piece in _channel(facts, channel)]
    return element("section", element("h2", "Intensities"), *shown, more, id="intensities")


def pooled(facts: Facts, channel: int) -> tuple[dict[str, np.ndarray], str]:
    """Values of all cases by where they are, and the axis they lie on.

    Where the cases' ranges differ much and have no unit, each is given by its own mean and deviation.
    """
    own = _is_by_case(facts, channel)
    names = {OUTSIDE: "outside the labels" if facts.mapped else "all voxels", **facts.foreground}
    curves: dict[str, np.ndarray] = {}
    for value, name in list(names.items())[: _MOST_CURVES + 1]:
        pieces = [
            (measures.samples[value][channel] - (measures.channels[channel].mean if own else 0.0))
            / ((measures.channels[channel].sd or 1.0) if own else 1.0)
            for measures in facts.measures.values()
            if value in measures.samples
        ]
        if pieces and sum(map(len, pieces)):
            curves[name] = np.concatenate(pieces)
    return curves, "standard deviations from each image's mean" if own else facts.unit(channel)


def _channel(facts: Facts, channel: int) -> Iterator[Content]:
    name = facts.manifest.modalities[channel]
    curves, axis = pooled(facts, channel)
    values = np.concatenate(list(curves.values()))
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    yield element("h3", f"{name} ({facts.unit(channel)})")
    if high <= low:
        yield element("p", f"Nearly every voxel is {decimal_of(low)}.", class_="absent")
        return
    hidden = len(facts.foreground) - _MOST_CURVES
    more = f" {hidden} more labels are not drawn." if hidden > 0 else ""
    yield chart(
        lambda: histograms(curves, f"{name}, {axis}", (low, high), f"Histogram of {name}"),
        "How often values occur over all cases, from the 0.5th to the 99.5th percentile; each line by its "
        f"own height, and a pile of one value, such as a background of 0, is cut off.{more}",
    )
    yield chart(
        lambda: ranges(_spans(facts, channel), f"{name}, {facts.unit(channel)}", f"Range of {name} by case"),
        f"A line a case, from the 0.5th to the 99.5th percentile, a dot at its median{_some(facts)}.",
    )
    yield _percentiles(curves, axis)


def _is_by_case(facts: Facts, channel: int) -> bool:
    widths = [
        one.high - one.low
        for measures in facts.measures.values()
        if (one := measures.channels[channel]).high > one.low
    ]
    return not facts.is_ct(channel) and bool(widths) and max(widths) > _COMPARABLE * min(widths)


def _spans(facts: Facts, channel: int) -> list[tuple[float, float, float]]:
    channels = [measures.channels[channel] for measures in facts.measures.values()]
    return [(one.low, one.median, one.high) for one in channels]


def _some(facts: Facts) -> str:
    return f"; {MOST_DOTS} of {len(facts.cases)} cases, evenly chosen" if len(facts.cases) > MOST_DOTS else ""


def _percentiles(curves: dict[str, np.ndarray], axis: str) -> Html:
    head = (f"Percentile, {axis}", *(heading(f"{percent:g}", numeric=True) for percent in _PERCENTS))
    rows = [
        (element("strong", name), *(number(decimal_of(float(v))) for v in np.percentile(values, _PERCENTS)))
        for name, values in curves.items()
    ]
    return table(head, rows) if rows else join([dash("no voxels")])
