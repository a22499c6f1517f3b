"""``viewer.html``: the best, the median and the worst test case in all their slices, in one file."""

import base64
import json
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

from segline.common import atomic
from segline.common.documents.names import REPORT, VIEWER
from segline.common.errors import SeglineError, UnavailableError
from segline.evaluation.records import CaseEvaluation
from segline.plan import Plan
from segline.report.findings import Findings, chosen
from segline.report.html.document import assembled, resource
from segline.report.html.markup import Html, element
from segline.report.html.wording import decimal
from segline.report.pictures.overlays import CaseVolumes, label_color, read_case
from segline.report.pictures.packing import ERRORS, Packed, packed

Viewer = Callable[[Findings], None]
"""Writes what shows whole cases, if it can be written."""

MOST_BYTES = 24_000_000
"""Of the page: a mail server takes it, and a browser opens it in seconds."""
_IN_BASE64 = 4 / 3
_NIIVUE = "viewer/niivue/niivue.umd.js"
_SCRIPTS = ("viewer/scene.js", "viewer/controls.js", "viewer/run.js")


def write_viewer(findings: Findings) -> None:
    """Write the page into the run's folder; where it cannot be made, there is none, an older one neither."""
    path = findings.run.folder / VIEWER
    try:
        page = viewer_page(findings)
    except UnavailableError:
        path.unlink(missing_ok=True)
    else:
        atomic.write_text(path, page)


def viewer_note(findings: Findings) -> Html:
    """A line of the report: where the page is, or why there is none."""
    if (findings.run.folder / VIEWER).is_file():
        link = element("a", VIEWER, href=VIEWER)
        return element(
            "p", "The same cases in all their slices and in 3-D, offline: ", link, " beside this file."
        )
    try:
        _require_niivue()
    except UnavailableError as error:
        return element("p", f"No {VIEWER}: {error}", class_="absent")
    return element("p", f"No {VIEWER}: no case can be read any more", class_="absent")


def viewer_page(findings: Findings) -> str:
    """The page as one HTML document that needs no network and no other file.

    Raises:
        UnavailableError: NiiVue is not in this installation, or none of the cases can be read.
    """
    niivue, plan = _require_niivue(), findings.contents.plan
    cases = list(_cases(findings, (MOST_BYTES - len(niivue)) / _IN_BASE64 / 3))
    if plan is None or not any(files for _, files in cases):
        raise UnavailableError("no case can be read any more")
    told = {
        "labels": [_label(*label) for label in _labels(plan)],
        "errors": [_label(*error) for error in ERRORS[: 4 if len(plan.foreground) > 1 else 3]],
        "cases": [case for case, _ in cases],
    }
    files = [_file(f"{number}-{name}", of) for number, (_, all_of) in enumerate(cases) for name, of in all_of]
    title = f"{findings.info.task.name}, run {findings.info.id}: test cases"
    scripts = [niivue, *(resource(name) for name in _SCRIPTS)]
    body = [*_body(findings, title), _data("cases", "application/json", json.dumps(told)), *files]
    return assembled(title, body, resource("viewer/viewer.css"), scripts, draws=True)


def _require_niivue() -> str:
    bundle = resources.files("segline").joinpath("report").joinpath(_NIIVUE)
    if not bundle.is_file():
        raise UnavailableError("NiiVue is not in this installation; `make niivue` in a checkout fetches it")
    return bundle.read_text(encoding="utf-8")


_Files = list[tuple[str, bytes]]


def _cases(findings: Findings, most_bytes: float) -> Iterator[tuple[dict[str, Any], _Files]]:
    """What is said of each case, and its files."""
    for title, case in chosen(findings.ranked):
        told = {"title": title, "case": case.case, "figure": _figure(findings, case)}
        try:
            volumes = read_case(findings, case)
        except SeglineError as error:
            yield {**told, "missing": str(error)}, []
            continue
        files = packed(volumes, int(most_bytes))
        yield {**told, "range": _range(findings, volumes), "note": files.note}, _named(files)


def _named(files: Packed) -> _Files:
    return [(name, getattr(files, name)) for name in ("image", "truth", "prediction", "errors")]


def _figure(findings: Findings, case: CaseEvaluation) -> str:
    return f"{findings.figures[0].title} {decimal(case.score, 3)}"


def _range(findings: Findings, volumes: CaseVolumes) -> list[float]:
    """Values that are black and white, by the plan's rule."""
    plan = findings.contents.plan
    assert plan is not None
    return [float(value) for value in plan.preprocessing.intensity[0].display_range(volumes.image)]


def _labels(plan: Plan) -> list[tuple[int, str, str]]:
    return [(index, name, label_color(index)) for index, name in enumerate(plan.foreground.values(), 1)]


def _label(value: int, name: str, colour: str) -> dict[str, Any]:
    return {"value": value, "name": name, "colour": colour}


def _file(name: str, content: bytes) -> Html:
    return _data(f"file-{name}", "application/octet-stream", base64.b64encode(content).decode("ascii"))


def _data(name: str, kind: str, content: str) -> Html:
    return element("script", Html(content.replace("<", "\\u003c")), id=name, type=kind)


def _body(findings: Findings, title: str) -> list[Html]:
    plan = findings.contents.plan
    channel = (
        f" {plan.channels[0]}, the first of {len(plan.channels)} channels."
        if plan and len(plan.channels) > 1
        else ""
    )
    backend = findings.reference.backend if findings.reference else "nothing"
    report = element("a", REPORT, href=REPORT)
    canvas = element("canvas", id="canvas", tabindex=0, aria_label="Three planes and a 3-D view")
    stage = element("section", canvas, class_="stage", aria_label="Volume")
    bar = element("section", class_="bar", id="bar", aria_label="Planes")
    panel = element("section", class_="panel", id="panel", aria_label="Controls")
    foot = "Not a medical device. Drawn by NiiVue, BSD 2-Clause, copyright 2021 Niivue."
    return [
        element("header", element("h1", title), element("p", f"Predicted with {backend}.{channel} ", report)),
        element("main", element("div", stage, bar, class_="left"), panel),
        element("footer", element("p", foot)),
    ]
