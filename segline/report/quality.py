"""How good the predictions are: every backend side by side, every test case, and what the errors look like."""

from collections.abc import Sequence

from segline.errors import SeglineError
from segline.evaluation import WORST_CASES, CaseEvaluation, Evaluation
from segline.metrics import LabelMetrics
from segline.report import figures
from segline.report.findings import Findings
from segline.report.markup import Cell, Content, Html, element, heading, join, number, table
from segline.report.overlays import case_overlay, label_legend
from segline.report.spin import spin_figure
from segline.report.wording import DICE, METRICS, Metric, counted, decimal, interval
from segline.runs import StageRecord
from segline.statistics import Estimate

_VOLUME = "volume in millilitres on the label file's own grid"


def evaluation(findings: Findings) -> Html:
    """Figures of every backend, label and metric, and the spread over cases."""
    evaluations = findings.contents.evaluations
    first = evaluations[0]
    lead = (
        f"{counted(len(first.cases), 'test case')}, scored on the untouched label files' own grids; "
        f"NSD with a tolerance of {first.nsd_tolerance_mm:g} mm. Intervals are 95 % bootstrap intervals of the "
        "mean over cases."
    )
    return element(
        "section",
        element("h2", "Evaluation"),
        element("p", lead),
        _not_evaluated(findings.summary.stages),
        _side_by_side(evaluations),
        _distribution(findings),
        id="evaluation",
    )


def cases(findings: Findings) -> Html | None:
    """Every test case of the reference, the worst first."""
    reference = findings.reference
    if reference is None:
        return None
    ranked = findings.ranked
    named = ", ".join(f"{case.case} ({decimal(case.mean_dice, 3)})" for case in ranked[:WORST_CASES])
    badges = {case.case: element("span", title.split()[0], class_="tag") for title, case in _chosen(ranked)}
    several = len(reference.by_label) > 1
    metrics = [heading(m.name, numeric=True, title=m.meaning) for m in METRICS]
    volumes = [heading(name, numeric=True, title=_VOLUME) for name in ("Truth (ml)", "Predicted (ml)")]
    head = ("Case", *(("Label",) if several else ()), *metrics, *volumes)
    rows = [
        _case_row(case, label, values, several, badges.get(case.case))
        for case in ranked
        for label, values in case.labels.items()
    ]
    return element(
        "section",
        element("h2", "Test cases"),
        element(
            "p",
            f"Predicted with {reference.backend}. The worst by mean Dice: ",
            element("strong", named),
            ". A heading sorts by its column.",
        ),
        element("div", table(head, rows, "sortable"), class_="tall"),
        id="test-cases",
    )


def pictures(findings: Findings) -> Html | None:
    """The worst, median and best test case, on slices and in the round."""
    plan, reference = findings.contents.plan, findings.reference
    if plan is None or reference is None or not reference.cases:
        return None
    return element(
        "section",
        element("h2", "Where it is right and wrong"),
        element(
            "p",
            "Slices as a radiologist sees them: the patient's right (R) is on the left. Each is the slice on "
            "which truth and error together are largest.",
        ),
        label_legend(plan),
        *(_overlay(findings, title, case) for title, case in _chosen(findings.ranked)),
        _spin(findings),
        id="pictures",
    )


def _chosen(ranked: Sequence[CaseEvaluation]) -> list[tuple[str, CaseEvaluation]]:
    """The worst, the median and the best, no case twice."""
    if len(ranked) < 3:
        return list(zip(("Worst test case", "Best test case"), ranked, strict=False))
    middle = ranked[(len(ranked) - 1) // 2]
    return [("Worst test case", ranked[0]), ("Median test case", middle), ("Best test case", ranked[-1])]


def _overlay(findings: Findings, title: str, case: CaseEvaluation) -> Html:
    head = element("h3", f"{title}: {case.case}, Dice {decimal(case.mean_dice, 3)}")
    try:
        body = case_overlay(findings, case)
    except SeglineError as error:
        body = element("p", f"No picture: {error}", class_="absent")
    return element("div", head, body, class_="case")


def _spin(findings: Findings) -> Html:
    case = findings.ranked[(len(findings.ranked) - 1) // 2]
    head = element("h3", f"In the round: {case.case}")
    try:
        body = spin_figure(findings, case)
    except SeglineError as error:
        body = element("p", f"No picture: {error}", class_="absent")
    return element("div", head, body, class_="case")


def _not_evaluated(stages: Sequence[StageRecord]) -> Html | None:
    lines = [
        element("li", element("code", record.name.removeprefix("evaluate_")), f" {record.status}: {record.reason}")
        for record in stages
        if record.name.startswith("evaluate_") and record.status in ("skipped", "failed")
    ]
    return element("div", "Not evaluated:", element("ul", *lines), class_="note skipped") if lines else None


def _side_by_side(evaluations: Sequence[Evaluation]) -> Html:
    labels = list(evaluations[0].by_label)
    groups = [(label, [e.by_label[label] for e in evaluations]) for label in labels]
    if len(labels) > 1:
        groups.insert(0, ("mean over labels", [e.overall for e in evaluations]))
    above = [
        heading(element("span", e.backend), element("small", e.backend_version), colspan=4, class_="group")
        for e in evaluations
    ]
    figures_shown = [heading(name, numeric=True) for name in ("Mean", "95 % CI", "Median", "Cases")]
    rows = [row for label, estimates in groups for row in _label_rows(label, estimates)]
    return table(
        ("Label", "Metric", *(figures_shown * len(evaluations))), rows, "compared", above=("", "", *above)
    )


def _label_rows(label: str, estimates: Sequence[dict[str, Estimate]]) -> list[list[Content]]:
    """A row a metric; the label stands beside the first."""
    rows: list[list[Content]] = []
    for metric in METRICS:
        beside = [heading(label, scope="rowgroup", rowspan=len(METRICS))] if not rows else []
        name = element("abbr", metric.name, title=metric.meaning)
        rows.append([*beside, name, *(c for of in estimates for c in _estimate_cells(metric, of[metric.key]))])
    return rows


def _estimate_cells(metric: Metric, estimate: Estimate) -> list[Cell]:
    total = estimate.count + estimate.missing
    cases = f"{estimate.count} of {total}" if estimate.missing else str(estimate.count)
    why = f"{metric.name} is undefined in {counted(estimate.missing, 'case')}" if estimate.missing else None
    return [
        number(element("strong", metric.show(estimate.mean)), class_="number first"),
        number(interval(estimate, metric)),
        number(metric.show(estimate.median)),
        number(element("span", cases, title=why, class_="warn" if why else None)),
    ]


def _case_row(
    evaluated: CaseEvaluation, label: str, values: LabelMetrics, several: bool, badge: Html | None
) -> list[Content]:
    found = [(metric, getattr(values, metric.key)) for metric in METRICS]
    volumes = [number(decimal(ml, 1), sort=ml) for ml in (values.truth_ml, values.prediction_ml)]
    return [
        join([element("strong", evaluated.case), badge]),
        *([label] if several else []),
        *(number(metric.show(value), sort=value) for metric, value in found),
        *volumes,
    ]


def _distribution(findings: Findings) -> Html | None:
    reference = findings.reference
    if reference is None or not reference.cases:
        return None
    caption = "A dot is a test case; the diamond is the mean, the bar its 95 % confidence interval."
    return element(
        "figure",
        figures.dice_by_case(reference),
        element("figcaption", caption),
        class_="chart",
        id="dice-by-case",
    )
