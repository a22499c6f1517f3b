"""The charts, as SVG whose colours follow the page's scheme."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from segline.acceptance.times import STAGES, Benchmark
from segline.evaluation.class_scores import Bin
from segline.evaluation.estimates import Estimate
from segline.evaluation.figures import titled
from segline.evaluation.records import Evaluation
from segline.evaluation.roc import Roc
from segline.model.history import History, TrainingPoint
from segline.report.html.markup import Html
from segline.report.html.wording import shortened
from segline.report.pictures.drawing import INK, LINE, MUTED, PAPER, SERIES, drawing, svg
from segline.training.tuning.rate_test import RangeTest

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LEGEND_COLUMNS = 5
_MOST_DETAILS = 14
_LONGEST_CASE = 60
_ALWAYS_SHOWN = "\u200b"
"""Without it Matplotlib leaves labels that begin with an underscore out of the legend."""


def curves(history: History) -> Html:
    """Loss, validation score and learning rate over the steps; the best step is marked."""
    each = [[point for point in points if point.scores is not None] for points in history.networks]
    validated = [points for points in each if points]
    heights = [3, 3, 1.4] if validated else [3, 1.4]
    drawn = len({**(validated[0][0].scores or {}), **_details(validated)}) + 1 if validated else 0
    lines = math.ceil(drawn / _LEGEND_COLUMNS)
    height_inches = sum(heights) * 0.68 + lines * 0.2
    with drawing(height_inches, len(heights), height_ratios=heights, sharex=True) as (figure, rows):
        _loss(rows[0], history)
        if validated:
            _validation(rows[1], history, validated)
            entries = rows[1].get_legend_handles_labels()
            figure.legend(*entries, loc="outside lower center", frameon=False, ncols=_LEGEND_COLUMNS)
        _learning_rate(rows[-1], history)
        for axes in rows:
            _mark_steps(axes, history)
        _count_in_whole_steps(rows[-1])
        figure.align_ylabels()
        return svg(figure, "Training curves")


def range_test(test: RangeTest, chosen: float) -> Html:
    """Loss over learning rate, whose axis is logarithmic; the chosen rate is marked."""
    with drawing(2.2, 1) as (figure, (axes,)):
        axes.plot(test.rates, test.losses, color=LINE, linewidth=1)
        axes.plot(test.rates, test.smoothed, color=SERIES[0])
        axes.axvline(chosen, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        _count_in_powers_of_ten(axes)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        return svg(figure, "Loss over learning rate")


def roc(curve: Roc) -> Html:
    """True positives over false positives, whose axis is logarithmic; the usual threshold is marked."""
    alarms, hits = np.array(curve.false_positive_rate), np.array(curve.true_positive_rate)
    seen = alarms > 0
    with drawing(2.6, 1) as (figure, (axes,)):
        axes.plot(alarms[seen], hits[seen], color=SERIES[0], drawstyle="steps-post")
        half = int(np.abs(np.array(curve.threshold) - 0.5).argmin())
        if seen[half]:
            axes.plot([alarms[half]], [hits[half]], "o", color=INK, markersize=5)
        _count_in_powers_of_ten(axes)
        axes.set_ylim(0, 1.05)
        axes.set_xlabel("share of the background taken for foreground")
        axes.set_ylabel("share of the foreground found")
        return svg(figure, "ROC of foreground against background")


def _count_in_powers_of_ten(axes: Any) -> None:
    """Along x; Matplotlib writes such numbers as formulas, which nobody reads in a picture of plain text."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: power_of_ten(value))
    axes.xaxis.set_minor_formatter(lambda *_: "")


def power_of_ten(value: float) -> str:
    """The power of ten next to a number.

    >>> power_of_ten(1e-6), power_of_ten(1.0), power_of_ten(1000)
    ('10⁻⁶', '1', '10³')
    """
    exponent = round(math.log10(value))
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}" if exponent else "1"


def score_by_case(evaluation: Evaluation) -> Html:
    """A dot a test case, a row a label, with the mean and its 95 % confidence interval."""
    rows, deciding = list(evaluation.by_label), evaluation.figures[0]
    with drawing(0.75 + 0.62 * len(rows), 1) as (figure, (axes,)):
        for place, label in enumerate(reversed(rows)):
            color = SERIES[(len(rows) - 1 - place) % len(SERIES)]
            values = [(case.case, case.figures[label][deciding.name]) for case in evaluation.cases]
            _dots(axes, place, [(name, value) for name, value in values if value is not None], color)
            _mean(axes, place, evaluation.by_label[label][deciding.name])
        axes.set_yticks(range(len(rows)), [shortened(label) for label in reversed(rows)], color=INK)
        axes.set_ylim(-0.55, len(rows) - 0.45)
        axes.set_xlabel(f"{deciding.title} of a test case")
        axes.grid(visible=False, axis="y")
        return svg(figure, f"{deciding.title} of every test case")


def reliability(bins: Sequence[Bin]) -> Html:
    """Accuracy over probability, a point a bin; the line is where the two are equal."""
    total = sum(one.count for one in bins)
    with drawing(2.8, 1) as (figure, (axes,)):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        probabilities, shares = [one.probability for one in bins], [one.accuracy for one in bins]
        axes.plot(probabilities, shares, color=SERIES[0], linewidth=1)
        sizes = [18 + 220 * one.count / total for one in bins]
        axes.scatter(probabilities, shares, s=sizes, color=SERIES[0], alpha=0.75, linewidths=0, zorder=3)
        axes.set_xlim(0, 1.03)
        axes.set_ylim(0, 1.08)
        axes.set_xlabel("probability of the predicted class")
        axes.set_ylabel("share that is right")
        return svg(figure, "Accuracy over probability")


def stage_times(benchmark: Benchmark) -> Html:
    """A bar a backend, made of its stages' medians."""
    backends = benchmark.backends
    with drawing(0.95 + 0.42 * len(backends), 1) as (figure, (axes,)):
        _stacks(axes, benchmark)
        axes.set_yticks(range(len(backends)), [times.backend for times in backends][::-1], color=INK)
        axes.set_ylim(-0.55, len(backends) - 0.45)
        axes.set_xlabel("median milliseconds a volume, from file to file")
        axes.grid(visible=False, axis="y")
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=len(STAGES), frameon=False, handlelength=0.9
        )
        return svg(figure, "Time of every stage and backend")


def _loss(axes: Any, history: History) -> None:
    for points in history.networks:
        steps = [p.step for p in points]
        axes.plot(steps, [p.loss for p in points], color=SERIES[0], marker=_marker(points))
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)


def _validation(axes: Any, history: History, networks: Sequence[Sequence[TrainingPoint]]) -> None:
    labels = list(networks[0][0].scores or {})
    for network, points in enumerate(networks):
        steps = [point.step for point in points]
        for number, label in enumerate(labels):
            values = [(point.scores or {})[label] for point in points]
            name = _ALWAYS_SHOWN + shortened(label) if network == 0 else None
            color = SERIES[(number + 1) % len(SERIES)]
            axes.plot(steps, values, color=color, marker="o", markersize=3, label=name)
        if len(labels) > 1:
            means = [point.score for point in points]
            axes.plot(steps, means, color=INK, linewidth=2, label="mean" if network == 0 else None)
        for number, (detail, name) in enumerate(_details(networks).items()):
            values = [point.details.get(detail, math.nan) for point in points]
            color = SERIES[(number + 2) % len(SERIES)]
            axes.plot(steps, values, color=color, linewidth=0.8, label=name if network == 0 else None)
    axes.set_ylabel(f"validation {titled(history.figure)}")
    axes.set_ylim(0, 1.15)
    axes.set_yticks(np.linspace(0, 1, 6))
    last = history.kept_steps[-1]
    axes.plot([last], [history.best_score], "o", color=INK, markersize=6)
    late = last > 0.7 * steps[-1]
    axes.annotate(
        f"kept: {history.best_score:.3f}, {history.kept}",
        (last, history.best_score),
        xytext=(-8 if late else 8, 7),
        textcoords="offset points",
        ha="right" if late else "left",
    )


def _details(networks: Sequence[Sequence[TrainingPoint]]) -> dict[str, str]:
    """What else validation measured, and what the legend calls it; nothing where it would fill the legend."""
    details = networks[0][0].details
    if len(details) > _MOST_DETAILS:
        return {}
    return {name: shortened(name.replace("/", " of ", 1)) for name in details}


def _learning_rate(axes: Any, history: History) -> None:
    for points in history.networks:
        steps = [p.step for p in points]
        axes.plot(steps, [p.learning_rate for p in points], color=MUTED, marker=_marker(points))
    axes.set_ylabel("learning rate")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("step")


def _marker(points: Sequence[TrainingPoint]) -> str | None:
    """A line through one point is none."""
    return "o" if len(points) == 1 else None


def _count_in_whole_steps(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def _mark_steps(axes: Any, history: History) -> None:
    if history.best_score is not None:
        for step in history.kept_steps:
            axes.axvline(step, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    if history.resumed_from_step is not None:
        axes.axvline(history.resumed_from_step, color=SERIES[4], linewidth=0.9, linestyle=(0, (1, 2)))


def _dots(axes: Any, place: int, values: Sequence[tuple[str, float]], color: str) -> None:
    scores = np.array([value for _, value in values])
    axes.scatter(scores, place + _spread(scores), s=22, color=color, alpha=0.75, linewidths=0)
    if len(values) > 1:
        worst = int(scores.argmin())
        axes.annotate(
            f"worst: {shortened(values[worst][0], _LONGEST_CASE)}",
            (scores[worst], place),
            xytext=(0, -17),
            textcoords="offset points",
            ha="left",
            color=MUTED,
        )


def _spread(values: np.ndarray) -> np.ndarray:
    """Small vertical offsets ``(N,)`` that part dots of nearly equal values."""
    order = values.argsort(kind="stable")
    offsets = np.zeros(len(values))
    offsets[order] = np.resize([0, 0.11, -0.11, 0.05, -0.05], len(values))
    return offsets


def _mean(axes: Any, place: int, estimate: Estimate) -> None:
    if estimate.mean is None:
        return
    if estimate.ci95 is not None:
        axes.plot(estimate.ci95, (place, place), color=INK, linewidth=2.2, solid_capstyle="butt")
    axes.plot([estimate.mean], [place], "D", color=PAPER, markeredgecolor=INK, markersize=6)
    axes.annotate(
        f"mean {estimate.mean:.3f}",
        (estimate.mean, place),
        xytext=(0, 9),
        textcoords="offset points",
        ha="center",
    )


def _stacks(axes: Any, benchmark: Benchmark) -> None:
    places = np.arange(len(benchmark.backends))[::-1]
    lefts = np.zeros(len(places))
    for number, stage in enumerate(STAGES):
        widths = np.array([times.stages_ms[stage].p50 for times in benchmark.backends])
        color = SERIES[number % len(SERIES)]
        axes.barh(places, widths, left=lefts, height=0.52, color=color, label=stage)
        lefts += widths
    for place, end, times in zip(places, lefts, benchmark.backends, strict=True):
        total = f"{times.end_to_end.volume_ms.p50:.0f}"
        axes.annotate(total, (end, place), xytext=(4, 0), textcoords="offset points", va="center")
