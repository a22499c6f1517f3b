"""The whole page: its parts in order, in one file that needs no other."""

from collections.abc import Callable

from segline.acceptance.verdict import Verdict
from segline.common.documents.names import SUMMARY
from segline.model.history import History
from segline.model.sidecars import OnnxSidecar
from segline.plan import Plan
from segline.report.findings import Findings
from segline.report.html.document import document
from segline.report.html.markup import Html, element
from segline.report.sections import (
    acceptance,
    data,
    ensemble,
    folds,
    learning,
    overview,
    provenance,
    quality,
    speed,
)
from segline.runs.contents import Contents
from segline.runs.left_out import backend_of, left_out
from segline.training.tuning.record import Tuning

Section = Callable[[Findings], Html | None]


def page(findings: Findings, pictures: Section) -> str:
    """The report as one HTML document; ``pictures`` show what the errors of this kind of task look like."""
    title = f"{findings.info.task.name} {findings.summary.status}, run {findings.info.id}"
    return document(title, _parts(findings, pictures))


def gate_page(verdict: Verdict) -> str:
    """The gate's part of the report as an HTML document of its own."""
    return document(f"Gate {'passed' if verdict.passed else 'blocked'}", [acceptance.gate(verdict)])


def training_page(history: History, plan: Plan, tuning: Tuning | None = None) -> str:
    """The training's part of the report, with the learning curves, as an HTML document of its own."""
    return document(f"Training of {plan.task}", [learning.training(history, plan, tuning)])


def _parts(findings: Findings, pictures: Section) -> list[Html | None]:
    sections = _sections(findings.contents, ("Pictures", "evaluate", pictures))
    drawn = [(title, stage, make(findings)) for title, stage, make in sections]
    gaps = [(title, findings.why_missing(stage)) for title, stage, html in drawn if html is None]
    return [
        overview.header(findings),
        overview.outcome(findings),
        overview.cards(findings),
        overview.stages(findings),
        overview.missing(gaps),
        *(html for _, _, html in drawn),
        provenance.provenance(findings),
        _footer(findings),
    ]


def _dataset(findings: Findings) -> Html | None:
    manifest = findings.contents.manifest
    return data.dataset(manifest) if manifest else None


def _split(findings: Findings) -> Html | None:
    plan = findings.contents.plan
    return data.split(plan.split, findings.info.task.plan.get("split", {})) if plan else None


def _plan(findings: Findings) -> Html | None:
    plan = findings.contents.plan
    return data.plan(plan, findings.info.task.plan) if plan else None


def _training(findings: Findings) -> Html | None:
    contents = findings.contents
    return learning.training(contents.history, contents.plan, contents.tuning) if contents.history else None


def _folds(findings: Findings) -> Html | None:
    folded = findings.contents.cross_validation
    return folds.folds(folded) if folded else None


def _ensemble(findings: Findings) -> Html | None:
    comparison = findings.contents.comparison
    return ensemble.ensemble(comparison, findings.contents.benchmark) if comparison else None


def _gate(findings: Findings) -> Html | None:
    verdict = findings.contents.verdict
    return acceptance.gate(verdict) if verdict else None


def _export(findings: Findings) -> Html | None:
    export = findings.export
    return acceptance.export(export) if isinstance(export, OnnxSidecar) else None


def _benchmark(findings: Findings) -> Html | None:
    timed = findings.contents.benchmark
    unrun = {backend_of(record.name) for record in left_out(findings.summary.stages)}
    return speed.benchmark(timed, unrun) if timed else None


_Part = tuple[str, str, Section]
"""Title, the stage it comes from, and how it is made."""
_TESTED: tuple[_Part, ...] = (
    ("Evaluation", "evaluate", quality.evaluation),
    ("Test cases", "evaluate", quality.cases),
)
_JUDGED: tuple[_Part, ...] = (
    ("Gate", "compare", _gate),
    ("ONNX export", "export_onnx", _export),
    ("Benchmark", "benchmark", _benchmark),
)
_SPLIT, _PLAN = ("Split", "plan", _split), ("Plan", "plan", _plan)
_FOLDS = ("Cross-validation", "pool", _folds)


def _sections(contents: Contents, pictures: _Part) -> tuple[_Part, ...]:
    """Of a cross-validation, split and training are its folds' own."""
    if contents.only_folds:
        learned: tuple[_Part, ...] = (_PLAN, _FOLDS)
    elif contents.cross_validation:
        learned = (_SPLIT, _PLAN, _FOLDS, ("Ensemble", "compare_members", _ensemble))
    else:
        learned = (_SPLIT, _PLAN, ("Training", "train", _training))
    judged = () if contents.only_folds else _JUDGED
    return (("Data set", "download", _dataset), *learned, *_TESTED, pictures, *judged)


def _footer(findings: Findings) -> Html:
    version = findings.info.versions.get("segline", "of unknown version")
    line = f"Written by segline {version}. The same figures for machines: {SUMMARY} beside this file."
    return element("footer", element("p", line))
