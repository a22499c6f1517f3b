"""How good the predictions are: backends side by side, every test case, and what the errors look like."""

from collections.abc import Sequence

from segline.common.documents.names import EVALUATION, predictions_of
from segline.common.wording import counted
from segline.evaluation.estimates import Estimate
from segline.evaluation.figures import Figure, figures_among
from segline.evaluation.records import WORST_CASES, CaseEvaluation, Evaluation, Measured
from segline.report.findings import Findings, chosen
from segline.report.html.markup import (
    Cell,
    Content,
    Html,
    cell,
    chart,
    element,
    heading,
    join,
    number,
    table,
)
from segline.report.html.wording import (
    MOST_ROWS,
    decimal,
    deviation_text,
    figure_headings,
    interval,
    show,
)
from segline.report.pictures import charts
from segline.report.sections.classes.tables import classes
from segline.report.sections.voxels import voxels
from segline.runs.records import StageRecord

_VOLUMES = {"truth_ml": "True ml", "prediction_ml": "Found ml"}
_VOLUME = "volume in millilitres on the label file's own grid"


def evaluation(findings: Findings) -> Html | None:
    """Every figure of every backend and label, and the spread over cases."""
    evaluations, first = findings.contents.evaluations, findings.reference
    if first is None:
        return None
    lead = (
        f"{counted(len(first.cases), 'test case')}, scored {findings.by.how}"
        f"{_tolerances(first)}. Each figure is the mean over cases; below "
        "it the 95 % bootstrap interval of that mean, the median, and the standard deviation over cases."
    )
    return element(
        "section",
        element("h2", "Evaluation"),
        element("p", lead),
        _not_evaluated(findings.summary.stages),
        _side_by_side(sorted(evaluations, key=lambda other: other is not first)),
        _distribution(findings),
        voxels(first),
        classes(first),
        id="evaluation",
    )


def _tolerances(evaluation: Evaluation) -> str:
    given = [(figure.title, evaluation.tolerance_mm(figure)) for figure in evaluation.figures]
    return "".join(f"; {title} with a tolerance of {of_mm:g} mm" for title, of_mm in given if of_mm)


def cases(findings: Findings) -> Html | None:
    """Every test case of the reference, the worst first."""
    reference = findings.reference
    if reference is None:
        return None
    ranked = findings.ranked
    named = ", ".join(f"{case.case} ({decimal(case.score, 3)})" for case in ranked[:WORST_CASES])
    return element(
        "section",
        element("h2", "Test cases"),
        element(
            "p",
            f"Predicted with {reference.backend}. The worst by mean {reference.figures[0].title}: ",
            element("strong", named),
            ". A heading sorts by its column.",
            _left_out(len(ranked), reference.backend),
        ),
        element("div", _case_table(reference, ranked[:MOST_ROWS]), class_="tall"),
        id="test-cases",
    )


def _left_out(cases: int, backend: str) -> str | None:
    if cases <= MOST_ROWS:
        return None
    where = f"{predictions_of(backend)}/{EVALUATION}"
    return f" The {MOST_ROWS} worst are listed; the other {cases - MOST_ROWS} are in {where}."


def _case_table(reference: Evaluation, ranked: Sequence[CaseEvaluation]) -> Html:
    badges = {
        case.case: element("span", title.split()[0].lower(), class_="tag") for title, case in chosen(ranked)
    }
    several = len(reference.by_label) > 1
    measured = {name for case in ranked for values in case.figures.values() for name in values}
    volumes = [
        heading(title, numeric=True, title=_VOLUME) for name, title in _VOLUMES.items() if name in measured
    ]
    head = ("Case", *(("Label",) if several else ()), *figure_headings(reference.figures), *volumes)
    rows = [
        _case_row(case, label, values, several, badges.get(case.case))
        for case in ranked
        for label, values in case.figures.items()
    ]
    return table(head, rows, "sortable")


def _not_evaluated(stages: Sequence[StageRecord]) -> Html | None:
    """What failed; what was skipped stands with the stages, and why with the gate."""
    lines = [
        element(
            "li", element("code", record.name.removeprefix("evaluate_")), f" {record.status}: {record.reason}"
        )
        for record in stages
        if record.name.startswith("evaluate_") and record.status == "failed"
    ]
    return element("div", "Not evaluated:", element("ul", *lines), class_="note skipped") if lines else None


def _side_by_side(evaluations: Sequence[Evaluation]) -> Html:
    """A row a backend under each label, a column a figure."""
    labels = list(evaluations[0].by_label)
    groups = [(label, [e.by_label[label] for e in evaluations]) for label in labels]
    if len(labels) > 1:
        whole = "all cases" if evaluations[0].classes else "mean over labels"
        groups.insert(0, (whole, [e.overall for e in evaluations]))
    rows = [row for label, estimates in groups for row in _label_rows(label, evaluations, estimates)]
    return table(("Label", "Backend", *figure_headings(evaluations[0].figures)), rows, "compared")


def _label_rows(
    label: str, evaluations: Sequence[Evaluation], estimates: Sequence[dict[str, Estimate]]
) -> list[list[Content]]:
    """A row a backend; the label stands beside the first."""
    rows: list[list[Content]] = []
    for evaluation, of in zip(evaluations, estimates, strict=True):
        beside = [heading(label, scope="rowgroup", rowspan=len(evaluations))] if not rows else []
        backend = cell(
            element("span", evaluation.backend),
            element("small", evaluation.backend_version, class_="below"),
            class_="backend",
        )
        rows.append(
            [*beside, backend, *(_estimate_cell(figure, of[figure.name]) for figure in evaluation.figures)]
        )
    return rows


def _estimate_cell(figure: Figure, estimate: Estimate) -> Cell:
    """The mean; below it its interval, the median, the deviation, and how many cases where not all."""
    below: list[Content] = [interval(estimate, figure), join(["median ", show(figure, estimate.median)])]
    if estimate.sd is not None:
        below.append(f"sd {deviation_text(figure, estimate.sd)}")
    lines = [element("small", line, class_="below") for line in below]
    if estimate.missing:
        total = estimate.count + estimate.missing
        why = f"{figure.heading} is undefined in {counted(estimate.missing, 'case')}"
        lines.append(element("small", f"{estimate.count} of {total} cases", title=why, class_="below warn"))
    return number(element("strong", show(figure, estimate.mean)), *lines)


def _case_row(
    evaluated: CaseEvaluation, label: str, values: Measured, several: bool, badge: Html | None
) -> list[Content]:
    measured = [(figure, values[figure.name]) for figure in figures_among(values)]
    volumes = [number(decimal(ml, 1), sort=ml) for name in _VOLUMES if (ml := values.get(name)) is not None]
    return [
        join([element("strong", evaluated.case), badge]),
        *([label] if several else []),
        *(number(show(figure, value), sort=value) for figure, value in measured),
        *volumes,
    ]


def _distribution(findings: Findings) -> Html | None:
    reference = findings.reference
    if reference is None or not reference.cases or reference.figures[0].yes_or_no:
        return None
    caption = "A dot is a test case; the diamond is the mean, the bar its 95 % confidence interval."
    return chart(lambda: charts.score_by_case(reference), caption, id="score-by-case")
