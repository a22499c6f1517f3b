"""The folds of a cross-validation side by side, and their cases together."""

from collections.abc import Mapping

from segline.evaluation.estimates import Estimate
from segline.evaluation.figures import figures_among
from segline.evaluation.folds import CrossValidation
from segline.report.html.markup import Content, Html, element, heading, number, table
from segline.report.html.wording import figure_headings, mean_with_interval


def folds(folded: CrossValidation) -> Html:
    """A row a fold; the last is over all cases."""
    head = [heading(text, numeric=True) for text in ("Fold", "Cases")]
    head += figure_headings(figures_among(folded.overall))
    rows = [_row(str(number), fold.cases, fold.overall) for number, fold in enumerate(folded.folds)]
    rows.append(_row("all", folded.cases, folded.overall))
    lead = (
        f"{len(folded.folds)} models, each trained without the cases it is tested on, and every case tested "
        "once. Folds count from 0. Each figure is the mean over cases; below it its 95 % bootstrap interval."
    )
    return element(
        "section",
        element("h2", "Cross-validation"),
        element("p", lead),
        table(head, rows, "compared"),
        id="cross-validation",
    )


def _row(name: str, cases: int, overall: Mapping[str, Estimate]) -> list[Content]:
    figures = [mean_with_interval(overall[figure.name], figure) for figure in figures_among(overall)]
    return [number(name), number(str(cases)), *figures]
