"""The report in short: Markdown, for the page of a pipeline's run."""

from collections.abc import Iterable

from segline.common.wording import counted
from segline.evaluation.estimates import Estimate
from segline.evaluation.figures import KEY, Figure, figures_among
from segline.report.findings import Findings
from segline.report.html.wording import decimal, duration, figure_text
from segline.report.markdown import plain, table
from segline.runs.left_out import left_out, left_out_in_words


def brief(findings: Findings) -> str:
    """Status and reasons, figures of each backend or fold, and what the stages say."""
    info, summary = findings.info, findings.summary
    lines = [f"# {plain(info.task.name)}: {summary.status}", "", _facts(findings), ""]
    lines += [f"- {plain(reason)}" for reason in summary.reasons]
    lines += ["", *_figures(findings), "", *_worst(findings), "", "## Stages", "", *_stages(findings)]
    return "\n".join(lines) + "\n"


def _facts(findings: Findings) -> str:
    summary = findings.summary
    cases = f", {counted(summary.dataset.cases, 'case')}" if summary.dataset else ""
    return f"Run `{summary.id}`{cases}, {duration(summary.seconds)} over the stages."


def _figures(findings: Findings) -> Iterable[str]:
    rows = {one.backend: one.overall for one in findings.contents.evaluations}
    if folds := findings.contents.cross_validation:
        rows |= {f"fold {number}": fold.overall for number, fold in enumerate(folds.folds)}
        rows |= {} if findings.contents.only_folds else {"all folds": folds.overall}
    if not rows:
        return [f"No test figures: {plain(findings.why_missing('evaluate'))}."]
    figures = figures_among(next(iter(rows.values())))[:KEY]
    cells = [
        (name, _cases(of[figures[0].name]), *(_mean(of[figure.name], figure) for figure in figures))
        for name, of in rows.items()
    ]
    below = ["", "Folds count from 0."] if folds else []
    return [*table(("", "Cases", *(figure.heading for figure in figures)), cells), *below]


def _cases(estimate: Estimate) -> str:
    return str(estimate.count + estimate.missing)


def _mean(estimate: Estimate, figure: Figure) -> str:
    """The mean with its 95 % interval."""
    if estimate.mean is None:
        return "undefined"
    if estimate.ci95 is None:
        return figure_text(figure, estimate.mean)
    low, high = (figure_text(figure, end) for end in estimate.ci95)
    return f"{figure_text(figure, estimate.mean)} ({low} to {high})"


def _worst(findings: Findings) -> Iterable[str]:
    reference = findings.reference
    if reference is None:
        return
    scores = {case.case: case.score for case in reference.cases}
    named = ", ".join(f"{plain(name)} ({decimal(scores[name], 3)})" for name in reference.worst)
    yield f"Worst by mean {reference.figures[0].title}: {named}."


def _stages(findings: Findings) -> Iterable[str]:
    unrun = left_out(findings.summary.stages)
    rows = [
        (record.name, record.status, duration(record.seconds), record.reason)
        for record in findings.summary.stages
        if record not in unrun
    ]
    yield from table(("Stage", "Status", "Time", "What it says"), rows)
    if unrun:
        yield f"\n{plain(left_out_in_words(unrun))}."
