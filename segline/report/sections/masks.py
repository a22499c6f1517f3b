"""What the errors of masks look like."""

from segline.evaluation.records import CaseEvaluation
from segline.plan import Plan
from segline.report.findings import Findings, chosen, middle
from segline.report.html.markup import Html, drawn, element, join
from segline.report.html.wording import decimal
from segline.report.pictures.overlays import CaseVolumes, legend, overlay, read_case
from segline.report.pictures.spin import spin
from segline.report.viewer_page import viewer_note


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
        viewer_note(findings),
        legend(plan),
        *(_pictured(findings, plan, title, case) for title, case in chosen(findings.ranked)),
        id="pictures",
    )


def _pictured(findings: Findings, plan: Plan, title: str, case: CaseEvaluation) -> Html:
    head = element("h3", f"{title}: {case.case}, {findings.figures[0].title} {decimal(case.score, 3)}")
    return element("div", head, drawn(lambda: _pictures_of(findings, plan, case)), class_="case")


def _pictures_of(findings: Findings, plan: Plan, case: CaseEvaluation) -> Html:
    """A case's slices; the median case in the round too."""
    volumes = read_case(findings, case)
    slices = overlay(volumes, plan, case.case)
    if case != middle(findings.ranked):
        return slices
    return join([slices, drawn(lambda: _in_the_round(volumes, plan.gate.nsd_tolerance_mm, case))])


def _in_the_round(volumes: CaseVolumes, tolerance_mm: float, case: CaseEvaluation) -> Html:
    picture = spin(volumes, tolerance_mm, case.case)
    caption = (
        f"{case.case} in the round, smoothed for display. Left: the prediction. Right: truth and prediction "
        f"together, where they lie more than {tolerance_mm:g} mm apart in the colours of the errors."
    )
    return element("figure", picture, element("figcaption", caption), class_="spin")
