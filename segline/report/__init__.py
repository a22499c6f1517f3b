"""The report of a run: ``report.html`` for people, ``summary.md`` in short, ``summary.json`` for machines.

Shows what the run's folder holds; computes no figure and decides nothing.
"""

from segline.common import atomic
from segline.common.documents.names import BRIEF, REPORT, SUMMARY
from segline.evaluation.masks.yardstick import MASKS
from segline.evaluation.yardstick import Yardstick
from segline.report.brief import brief
from segline.report.findings import Findings
from segline.report.page import Section, gate_page, page, training_page
from segline.report.sections.masks import pictures as pictures_of_masks
from segline.report.viewer_page import Viewer, write_viewer
from segline.runs.run import Run
from segline.runs.summary import Summary

__all__ = ["gate_page", "training_page", "write_report"]


def write_report(
    run: Run,
    by: Yardstick = MASKS,
    pictures: Section = pictures_of_masks,
    viewer: Viewer | None = write_viewer,
) -> Summary:
    """Write ``summary.json``, ``summary.md`` and then ``report.html`` from whatever the run's folder holds.

    The page needs no network and no other file. What is missing or damaged is told on it, with the reason.
    ``by`` is what the run's answers were measured by, ``pictures`` show what their errors look like, and
    ``viewer`` writes ``viewer.html``, which the page names.

    Raises:
        SeglineError: this is not a run's folder.
    """
    findings = Findings.of(run, by)
    findings.summary.write(run.folder / SUMMARY)
    atomic.write_text(run.folder / BRIEF, brief(findings))
    if viewer:
        viewer(findings)
    atomic.write_text(run.folder / REPORT, page(findings, pictures))
    return findings.summary
