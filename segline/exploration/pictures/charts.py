"""Charts of many cases, drawn as the report's are."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from segline.report.html.markup import Html
from segline.report.html.wording import shortened
from segline.report.pictures.drawing import INK, LINE, MUTED, SERIES, drawing, svg

MOST_DOTS = 300
"""In a row of dots; of more cases an even choice by value is drawn, with both ends."""
_BINS = 100
_LOG_FROM = 30.0
"""Ratio of largest to smallest value from which an axis is logarithmic."""
_PILE = 4.0
"""How many times as high as the next a bin is that would flatten all else, such as of a background of 0."""


class Strip(NamedTuple):
    """A row of dots, one a case."""

    name: str
    values: Sequence[float]


def strips(panels: Sequence[tuple[str, Sequence[Strip]]], title: str) -> Html:
    """Panels side by side, each an axis with rows of dots and their medians."""
    rows = max(len(rows) for _, rows in panels)
    with drawing(0.75 + 0.36 * rows, 1, len(panels)) as (figure, axes):
        for one, (label, some) in zip(axes, panels, strict=True):
            _strip_panel(one, label, some)
        return svg(figure, title)


def histograms(
    samples: Mapping[str, np.ndarray], x_label: str, span: tuple[float, float], title: str
) -> Html:
    """A line a name: how often values occur, each scaled to its own height."""
    with drawing(2.5, 1) as (figure, (axes,)):
        for number, (name, values) in enumerate(samples.items()):
            counts, edges = np.histogram(values, bins=_BINS, range=span)
            heights = counts / _height(counts)
            color = MUTED if number == 0 else SERIES[(number - 1) % len(SERIES)]
            axes.stairs(np.minimum(heights, 1.12), edges, color=color, linewidth=1.6, label=shortened(name))
        axes.set_xlim(*span)
        axes.set_ylim(0, 1.12)
        axes.set_xlabel(x_label)
        axes.set_ylabel("relative frequency")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, frameon=False, handlelength=0.9)
        return svg(figure, title)


def ranges(spans: Sequence[tuple[float, float, float]], y_label: str, title: str) -> Html:
    """A line a case from a low to a high value, with a dot between; by the dot, from left to right."""
    ordered = thinned(sorted(spans, key=lambda span: span[1]))
    low, middle, high = np.array(ordered).T
    places = np.arange(len(ordered))
    with drawing(2.2, 1) as (figure, (axes,)):
        axes.vlines(places, low, high, color=SERIES[0], alpha=0.55, linewidth=min(6, 400 / len(ordered)))
        axes.plot(places, middle, "o", color=INK, markersize=min(5.0, max(2.0, 200 / len(ordered))))
        positive = float(low.min()) > 0 and float(high.max()) > _LOG_FROM * float(high.min())
        if positive:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
        axes.set_xticks([])
        axes.set_xlim(-1, len(ordered))
        axes.set_ylabel(y_label)
        axes.grid(visible=False, axis="x")
        return svg(figure, title)


def positions(centres: Mapping[str, np.ndarray], title: str) -> Html:
    """Centres ``(N, 3)`` of each label, from 0 to 1 along each axis in RAS, from the front and the side."""
    views = (
        ("right", "left", 0, "seen from the front"),
        ("front", "back", 1, "seen from the patient's left"),
    )
    with drawing(3.0, 1, 2) as (figure, axes):
        for one, (begin, end, axis, words) in zip(axes, views, strict=True):
            for number, (name, places) in enumerate(centres.items()):
                some = places[
                    np.linspace(0, len(places) - 1, min(len(places), MOST_DOTS)).round().astype(int)
                ]
                color = SERIES[number % len(SERIES)]
                # the patient's right, and front, are on the reader's left
                one.scatter(
                    1 - some[:, axis],
                    some[:, 2],
                    s=18,
                    color=color,
                    alpha=0.6,
                    linewidths=0,
                    label=shortened(name),
                )
            one.set(xlim=(0, 1), ylim=(0, 1), xlabel=words, xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
            one.set_xticklabels([begin, "", end])
            one.set_yticklabels(["bottom", "", "top"])
            one.set_aspect("equal")
        if len(centres) > 1:
            figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
        return svg(figure, title)


def shares(values: Mapping[str, float], title: str) -> Html:
    """A bar a name on a logarithmic axis of shares."""
    rows = [(name, share) for name, share in values.items() if share > 0][::-1]
    with drawing(0.7 + 0.3 * len(rows), 1) as (figure, (axes,)):
        lowest = 10 ** np.floor(np.log10(min(share for _, share in rows)) - 0.2)
        for place, (_, share) in enumerate(rows):
            color = MUTED if place == len(rows) - 1 else SERIES[(len(rows) - 2 - place) % len(SERIES)]
            axes.barh(place, share - lowest, left=lowest, height=0.55, color=color)
        axes.set_xscale("log")
        axes.set_xlim(lowest, 1)
        axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axes.xaxis.set_minor_formatter("")
        axes.set_yticks(range(len(rows)), [shortened(name) for name, _ in rows], color=INK)
        axes.set_xlabel("share of all voxels")
        axes.grid(visible=False, axis="y")
        return svg(figure, title)


def thinned(ordered: Sequence[Any]) -> Sequence[Any]:
    """At most ``MOST_DOTS`` of a sequence, evenly chosen, both ends among them."""
    if len(ordered) <= MOST_DOTS:
        return ordered
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, MOST_DOTS).round().astype(int)]


def _strip_panel(axes: Any, label: str, rows: Sequence[Strip]) -> None:
    for place, strip in enumerate(reversed(rows)):
        color = SERIES[(len(rows) - 1 - place) % len(SERIES)]
        values = np.array(thinned(sorted(strip.values)))
        offsets = np.resize([0, 0.16, -0.16, 0.08, -0.08], len(values))
        axes.scatter(values, place + offsets, s=14, color=color, alpha=0.55, linewidths=0)
        if len(values) > 1:
            middle = float(np.median(strip.values))
            axes.plot([middle, middle], [place - 0.36, place + 0.36], color=INK, linewidth=1.6)
    axes.set_yticks(range(len(rows)), [shortened(strip.name, 20) for strip in reversed(rows)], color=INK)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="y")
    _scale(axes, [value for strip in rows for value in strip.values])


def _scale(axes: Any, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    if low > 0 and high > _LOG_FROM * low:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    elif high - low < 1e-6 * max(abs(high), 1e-6):
        reach = max(abs(high) * 0.5, 1e-3)
        axes.set_xlim(low - reach, high + reach)
    axes.axvline(low, color=LINE, linewidth=0)


def _height(counts: np.ndarray) -> float:
    """Of the highest bin; of the next one, where the highest holds a pile of one value."""
    second, first = np.sort(counts)[-2:]
    return float(max(second if first > _PILE * second > 0 else first, 1))
