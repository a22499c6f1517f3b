"""What the errors of classes look like."""

from segline.common.documents.names import predictions_of
from segline.common.errors import SeglineError
from segline.evaluation.classes.yardstick import decision
from segline.evaluation.records import CaseEvaluation
from segline.plan import Plan
from segline.report.findings import Findings
from segline.report.html.markup import Html, drawn, element
from segline.report.html.wording import decimal
from segline.report.pictures.wholes import middle_slice

_MOST = 12


def pictures(findings: Findings) -> Html | None:
    """The images of the largest losses, right or wrong."""
    plan, reference = findings.contents.plan, findings.reference
    if plan is None or reference is None or not reference.cases:
        return None
    wrong = sum(case.score < 1 for case in reference.cases)
    lead = (
        f"{wrong} of {len(reference.cases)} test cases were taken for another class. Below are those, "
        "then the ones whose true class was called least probable; of volumes, the middle slice."
    )
    shown_cases = [_pictured(findings, plan, case) for case in findings.ranked[:_MOST]]
    return element(
        "section",
        element("h2", "Where it is right and wrong"),
        element("p", lead),
        element("div", *shown_cases, class_="panels"),
        id="pictures",
    )


def _pictured(findings: Findings, plan: Plan, case: CaseEvaluation) -> Html:
    ((name, measured),) = case.figures.items()
    share = decimal(measured["true_class"] or 0.0, 3)
    taken = "right" if case.score == 1 else f"taken for {_decided(findings, case)}"
    caption = element(
        "figcaption", f"{case.case}: {name} {share} ", element("span", taken, class_=_pill(case))
    )
    return element("figure", drawn(lambda: _image(findings, plan, case)), caption, class_="panel")


def _decided(findings: Findings, case: CaseEvaluation) -> str:
    """The class that was found, of the answer's file."""
    backend = findings.reference.backend if findings.reference else ""
    return decision(findings.run.folder / predictions_of(backend) / case.answer)


def _pill(case: CaseEvaluation) -> str:
    return f"pill {'succeeded' if case.score == 1 else 'failed'}"


def _image(findings: Findings, plan: Plan, case: CaseEvaluation) -> Html:
    manifest = findings.contents.manifest
    if manifest is None:
        raise SeglineError("the run's folder holds no readable data set")
    span_of = plan.preprocessing.intensity[0].display_range
    return middle_slice(manifest.image(manifest.case(case.case)), span_of, f"Image of {case.case}")
