"""The top of the page: what was asked for, what became of it, the key figures and the stages."""

from collections.abc import Sequence

from segline.common.wording import counted
from segline.evaluation.estimates import Estimate
from segline.evaluation.figures import KEY, Figure
from segline.report.findings import Findings
from segline.report.html.markup import Html, cell, details, element, heading, join, number, table
from segline.report.html.wording import dash, duration, interval, moment, show
from segline.runs.left_out import left_out, left_out_in_words
from segline.runs.records import StageRecord
from segline.runs.summary import was_interrupted, was_killed

_FEW_CASES = 10
_REASONS_SHOWN = 6
_AGAIN = (
    "Run the same task again: verified files, cached cases and the checkpoint of an unfinished training are "
    "kept, so finished work is not repeated."
)


def header(findings: Findings) -> Html:
    """Task, run and status, with the reasons for anything but success."""
    info, summary = findings.info, findings.summary
    about = [info.task.description] if info.task.description else []
    facts = [info.task.kind, f"source {info.task.source}", moment(info.started), info.machine]
    return element(
        "header",
        element(
            "div",
            element("p", "segline run report", class_="eyebrow"),
            element("h1", info.task.name),
            *(element("p", text, class_="lead") for text in about),
            element("p", "run ", element("code", info.id), class_="run-id"),
            element("ul", *(element("li", fact) for fact in facts), class_="facts"),
            class_="title",
        ),
        element("p", summary.status, class_=f"badge {summary.status}"),
        class_="top",
    )


def outcome(findings: Findings) -> Html | None:
    """Why the run failed or was blocked, and what to do; nothing otherwise."""
    summary = findings.summary
    titles = {"failed": "Why this run failed", "blocked": "Why the gate blocked this model"}
    if summary.status not in titles:
        return None
    title = "This run was interrupted" if _interrupted(findings) else titles[summary.status]
    return element(
        "section",
        element("h2", title),
        reason_list(summary.reasons),
        element("p", element("strong", "What to do. "), _advice(findings)),
        id="outcome",
        class_=f"outcome {summary.status}",
    )


def reason_list(reasons: Sequence[str]) -> Html:
    """Reasons; where there are many, all but the first are folded away."""
    first, others = reasons[:_REASONS_SHOWN], reasons[_REASONS_SHOWN:]
    items = [
        element("ul", *(element("li", _reason(r)) for r in some), class_="reasons")
        for some in (first, others)
    ]
    more = details(f"{len(others)} more", items[1]) if others else None
    return element("div", items[0], more, class_="reason-list")


def cards(findings: Findings) -> Html:
    """The key figures."""
    summary, reference = findings.summary, findings.reference
    missing = f"no test figures: {findings.why_missing('evaluate')}"
    overall = reference.overall if reference else {}
    shown = [
        *(
            _estimate_card(_title(figure, findings), figure, overall.get(figure.name), missing)
            for figure in findings.figures[:KEY]
        ),
        _cases_card(findings),
        _card("Total time", join([duration(summary.seconds)]), "sum over the stages"),
    ]
    return element("section", *shown, _few_cases(findings), id="key-figures", class_="cards")


def stages(findings: Findings) -> Html:
    """Every stage that started, how long it took and what it says; those left out folded away."""
    unrun = left_out(findings.summary.stages)
    records = [record for record in findings.summary.stages if record not in unrun]
    longest = max((record.seconds for record in records), default=0.0)
    rows = [
        (
            element("code", record.name),
            element("span", record.status, class_=f"pill {record.status}"),
            number(dash("not known: it was killed") if was_killed(record) else duration(record.seconds)),
            cell(_time_bar(record, longest), class_="bar-cell"),
            cell(_reason(record.reason), class_="words"),
        )
        for record in records
    ]
    head = ("Stage", "Status", heading("Time", numeric=True), "", "What it says")
    body = table(head, rows, "stages") if rows else element("p", "No stage has started.", class_="absent")
    return element("section", element("h2", "Stages"), body, _left_out(unrun), id="stages")


def missing(gaps: Sequence[tuple[str, str]]) -> Html | None:
    """The parts that a whole run's report has and this one has not, each with the reason."""
    if not gaps:
        return None
    parts_by_reason: dict[str, list[str]] = {}
    for part, why in gaps:
        parts_by_reason.setdefault(why, []).append(part)
    rows = [
        (cell(element("strong", ", ".join(parts)), class_="words"), cell(why, class_="words"))
        for why, parts in parts_by_reason.items()
    ]
    return element(
        "section",
        element("h2", "Not in this report"),
        table(("Parts", "Why"), rows, "two-columns"),
        id="missing",
    )


def _advice(findings: Findings) -> str:
    summary = findings.summary
    if summary.status == "blocked":
        return (
            "Below the floor: look at the worst cases, train longer (training.epochs, training.max_minutes), "
            "or add labelled cases. Where backends disagree: look at the cases above, and export again. "
            "The model must not be registered as it is."
        )
    if _interrupted(findings):
        return _AGAIN
    if any(was_killed(record) for record in summary.stages):
        return (
            "A process that vanishes was mostly ended for using too much memory or time: look at the log of "
            f"the machine or pod, then lower training.patch_size or batch_size if it was memory. {_AGAIN}"
        )
    return f"Correct what the line above names. {_AGAIN}"


def _interrupted(findings: Findings) -> bool:
    """Whether no stage failed of itself."""
    failed = [record for record in findings.summary.stages if record.status == "failed"]
    return bool(failed) and all(was_interrupted(record) for record in failed)


def _reason(text: str) -> Html:
    return element("span", text, class_="reason")


def _title(figure: Figure, findings: Findings) -> str:
    if figure == findings.figures[0]:
        return f"Mean test {figure.title}"
    tolerance_mm = findings.reference.tolerance_mm(figure) if findings.reference else None
    return f"{figure.title} at {tolerance_mm:g} mm" if tolerance_mm else figure.title


def _estimate_card(title: str, figure: Figure, estimate: Estimate | None, why: str) -> Html:
    if estimate is None:
        return _card(title, dash(why), "not evaluated")
    suffix = element("small", f" {figure.unit}") if figure.unit and estimate.mean is not None else None
    below = [join(["95 % CI ", interval(estimate, figure)])]
    if estimate.missing:
        below.append(element("span", f"; undefined in {counted(estimate.missing, 'case')}", class_="warn"))
    scale = None if figure.unit or figure.relative else _scale(estimate)
    return _card(title, join([show(figure, estimate.mean), suffix]), join(below), scale)


def _cases_card(findings: Findings) -> Html:
    summary = findings.summary
    if summary.dataset is None:
        return _card("Cases", dash(f"no data set: {findings.why_missing('download')}"), "no data set")
    split = summary.split
    folds = findings.contents.cross_validation
    line = f"{len(split.train)} train, {len(split.val)} val, {len(split.test)} test" if split else "not split"
    if folds and split:
        line = f"{len(split.test)} held out to test, the others tested once in {len(folds.folds)} folds"
    elif folds:
        line = f"each tested once, in {len(folds.folds)} folds"
    return _card("Cases", join([str(summary.dataset.cases)]), line)


def _card(title: str, value: Html, below: str, scale: Html | None = None) -> Html:
    return element(
        "div",
        element("p", title, class_="name"),
        element("p", value, class_="value"),
        scale,
        element("p", below, class_="below"),
        class_="card",
    )


def _scale(estimate: Estimate) -> Html | None:
    """Mean and interval on a line from 0 to 1."""
    if estimate.mean is None:
        return None
    low, high = estimate.ci95 or (estimate.mean, estimate.mean)
    return element(
        "div",
        element("i", style=f"left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"),
        element("b", style=f"left:{100 * estimate.mean:.1f}%"),
        class_="scale",
        aria_hidden="true",
    )


def _few_cases(findings: Findings) -> Html | None:
    count = len(findings.ranked)
    if not 0 < count < _FEW_CASES:
        return None
    warning = (
        f"Only {counted(count, 'test case')}: with fewer than {_FEW_CASES}, the intervals are too narrow."
        " Read them as a lower bound of the uncertainty."
    )
    return element("p", warning, class_="note")


def _time_bar(record: StageRecord, longest: float) -> Html | None:
    if was_killed(record):
        return None
    share = 100 * record.seconds / longest if longest else 0
    return element("span", class_="bar", style=f"width:{max(share, 0.4):.1f}%")


def _left_out(unrun: Sequence[StageRecord]) -> Html | None:
    if not unrun:
        return None
    rows = [(element("code", record.name), cell(_reason(record.reason), class_="words")) for record in unrun]
    return details(left_out_in_words(unrun), table(("Skipped stage", "Why"), rows, "two-columns"))
