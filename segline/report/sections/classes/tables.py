"""How good decisions are: figures of each class, which is taken for which, and whether to believe them."""

from segline.evaluation.class_scores import BY_CLASS, OVERALL, Bin, ClassScores, Measure
from segline.evaluation.records import Evaluation
from segline.report.html.markup import Cell, Content, Html, chart, element, heading, number, table
from segline.report.html.wording import dash, decimal, small_share
from segline.report.pictures import charts

_DIGITS = 3


def classes(evaluation: Evaluation) -> Html | None:
    """Figures, confusion matrix and reliability; nothing where cases have no class."""
    scores = evaluation.classes
    if scores is None:
        return None
    lead = (
        f"All test cases together, as {evaluation.backend} decided; below each figure the 95 % interval over "
        "resampled cases. The AUC is of one class against the rest."
    )
    matrix = "A row a true class, a column what it was taken for; each row adds up to 100 %."
    return element(
        "div",
        element("h3", "Classes"),
        element("p", lead),
        _overall(scores),
        _by_class(scores),
        element("h3", "Confusion of classes"),
        element("p", matrix),
        _matrix(scores),
        element("h3", "Are the probabilities true?"),
        chart(lambda: charts.reliability(scores.reliability), _calibration(scores.reliability)),
        id="classes",
    )


def _overall(scores: ClassScores) -> Html:
    head = [heading(title, numeric=True) for title in OVERALL.values()]
    return table(head, [[_cell(scores.overall[name], "no class has one") for name in OVERALL]])


def _by_class(scores: ClassScores) -> Html:
    counts = {name: sum(row) for name, row in zip(scores.names, scores.confusion, strict=True)}
    rows = [
        [
            heading(name, scope="row"),
            number(str(counts[name])),
            *(_cell(measures[figure], "nothing to divide by") for figure in BY_CLASS),
        ]
        for name, measures in scores.by_class.items()
    ]
    titles = (heading(title, numeric=True) for title in ("Cases", *BY_CLASS.values()))
    return table(("Class", *titles), rows, "compared")


def _cell(measure: Measure, why: str) -> Cell:
    if measure.value is None:
        return number(dash(why))
    below: Content = None
    if measure.ci95:
        ends = " to ".join(decimal(end, _DIGITS) for end in measure.ci95)
        below = element("small", ends, class_="below")
    return number(element("strong", decimal(measure.value, _DIGITS)), below)


def _matrix(scores: ClassScores) -> Html:
    head = ("True class", *(heading(f"found as {name}", numeric=True) for name in scores.names))
    rows = [
        [heading(name, scope="row"), *(_count(cases, sum(row)) for cases in row)]
        for name, row in zip(scores.names, scores.confusion, strict=True)
    ]
    return table(head, rows, "confusion")


def _count(cases: int, total: int) -> Cell:
    shown: Content = small_share(cases / total) if total else dash("no case is of this class")
    return number(element("div", shown), element("small", f"{cases:,}", class_="below"))


def _calibration(bins: tuple[Bin, ...]) -> str:
    total = sum(one.count for one in bins)
    sure = bins[-1]
    return (
        "How often the predicted class is right, over how probable the network called it; on the line it is "
        f"as good as it says. A point is a tenth of the range, as large as it has cases: {sure.count} of "
        f"{total} in the last."
    )
