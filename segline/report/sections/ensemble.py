"""The ensemble beside its members: what averaging gains, and what it costs."""

from segline.acceptance.comparison import Comparison, Standing
from segline.acceptance.times import Benchmark
from segline.common.wording import counted
from segline.evaluation.estimates import Estimate
from segline.evaluation.figures import KEY, Figure, figures_among
from segline.report.html.markup import Content, Html, element, heading, join, number, table
from segline.report.html.wording import dash, decimal, figure_headings, mean_with_interval

_REFERENCE = "the others are compared with this one"


def ensemble(comparison: Comparison, timed: Benchmark | None) -> Html:
    """A row a model, and a row a backend with the time of each; ``timed`` is the ensemble's benchmark."""
    deciding = _figures(comparison.ensemble)[0].title
    lead = (
        f"The model is the mean of {counted(len(comparison.members), 'network')}, one a fold. Each row is "
        f"over the same {counted(comparison.cases, 'test case')}, which no fold has seen; folds count from "
        f"0. Below a figure is its 95 % bootstrap interval. The gain is the ensemble's {deciding} less the "
        "member's, case by case."
    )
    return element(
        "section",
        element("h2", "Ensemble"),
        element("p", lead),
        _worth(comparison),
        element("h3", "What it costs"),
        _cost(comparison, timed) if timed else element("p", "The ensemble was not timed.", class_="absent"),
        id="ensemble",
    )


def _worth(comparison: Comparison) -> Html:
    figures = _figures(comparison.ensemble)
    head = ["Model", *figure_headings(figures)]
    head += [heading(name, numeric=True) for name in (f"Gain in {figures[0].title}", "Weights")]
    rows = [_row("ensemble", comparison.ensemble, dash(_REFERENCE))]
    for index, (member, gain) in enumerate(zip(comparison.members, comparison.gains, strict=True)):
        rows.append(_row(f"fold {index}", member, _gain(gain, figures[0])))
    return table(head, rows, "compared")


def _row(name: str, standing: Standing, gain: Html) -> list[Content]:
    figures = [mean_with_interval(standing.overall[figure.name], figure) for figure in _figures(standing)]
    weights = f"{decimal(standing.weights_bytes / 2**20, 1)} MiB"
    return [element("strong", name), *figures, number(gain), number(weights)]


def _figures(standing: Standing) -> tuple[Figure, ...]:
    return figures_among(standing.overall)[:KEY]


def _gain(gain: Estimate, deciding: Figure) -> Html:
    if gain.mean is None:
        return dash(f"no case has a defined {deciding.title}")
    below = " to ".join(decimal(end, 4, signed=True) for end in gain.ci95) if gain.ci95 else None
    return join([element("div", decimal(gain.mean, 4, signed=True)), element("small", below, class_="below")])


def _cost(comparison: Comparison, timed: Benchmark) -> Html:
    """Time of a case, end to end, of one network and of all of them."""
    slower, ours = comparison.slowdowns(timed), {times.backend: times for times in timed.backends}
    rows = [
        [
            element("strong", member.backend),
            number(decimal(member.end_to_end.volume_ms.p50, 0)),
            number(decimal(ours[member.backend].end_to_end.volume_ms.p50, 0)),
            number(f"{decimal(slower[member.backend], 1)} times"),
        ]
        for member in comparison.member_times
        if member.backend in ours
    ]
    names = ("One member (ms/volume)", "Ensemble (ms/volume)", "Longer by")
    return table(["Backend", *(heading(name, numeric=True) for name in names)], rows)
