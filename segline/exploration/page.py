"""The page of a data set: measured, judged, drawn, in one file that needs no other."""

from pathlib import Path
from typing import NamedTuple

from segline import __version__
from segline.common import atomic
from segline.common.progress import Progress, silent
from segline.exploration.checks.all_checks import look
from segline.exploration.checks.finding import Finding
from segline.exploration.facts import Facts, KindParts
from segline.exploration.sections import cases, geometry, head, intensities, labels, plan
from segline.plan import Task
from segline.report.html.document import document
from segline.report.html.markup import element


class Explored(NamedTuple):
    """What was found."""

    facts: Facts
    findings: list[Finding]


def explore(
    root: Path, page: Path, task: Task, parts: KindParts, workers: int = 2, progress: Progress = silent
) -> Explored:
    """Look at a data set and write what was found to an HTML page.

    The same data give the same page.

    Args:
        root: the folder that holds ``dataset.json``.
        page: where to write.
        task: whose plan is proposed.
        parts: what its kind of task does in its own way.
        workers: processes, each of which holds one case.
        progress: called after each case.

    Raises:
        SeglineError: as :meth:`segline.exploration.facts.Facts.of`.
    """
    facts = Facts.of(root, task, parts, workers, progress)
    findings = look(facts)
    atomic.write_text(page, html(facts, findings, parts))
    return Explored(facts, findings)


def html(facts: Facts, findings: list[Finding], parts: KindParts) -> str:
    """The page as one HTML document."""
    return document(
        f"Data set {facts.manifest.name}",
        [
            head.header(facts, findings),
            head.findings_section(facts, findings),
            head.dataset_section(facts),
            geometry.geometry_section(facts),
            intensities.intensities_section(facts),
            labels.labels_section(facts),
            labels.values_section(facts),
            cases.cases_section(facts, findings),
            plan.plan_section(facts),
            plan.patches_section(facts, findings, parts),
            element("footer", element("p", f"Written by segline {__version__}.")),
        ],
    )
