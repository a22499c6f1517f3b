"""What the errors of classes look like."""

import numpy as np

from segline.common.errors import SeglineError
from segline.evaluation.classes.yardstick import decision
from segline.evaluation.records import CaseEvaluation
from segline.imaging.volume import Volume
from segline.plan import Plan
from segline.report.findings import Findings
from segline.report.html.markup import Html, data_uri, drawn, element
from segline.report.html.wording import decimal
from segline.report.pictures.overlays import grey_of, webp
from segline.runs.names import predictions_of

_MOST = 12
_EDGE = 220
"""Pixels of the longer edge."""


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
    pixels = shown(manifest.image(manifest.case(case.case)), plan)
    return element("img", src=data_uri(webp(pixels), "image/webp"), alt=f"Image of {case.case}")


def shown(volume: Volume, plan: Plan) -> np.ndarray:
    """The middle slice as it lies in the file, ``(rows, columns, 3)`` in 0..1; enlarged, if it is small.

    Of a picture, the first row is the upper one; of a volume, as a radiologist sees it if its axes are RAS.
    """
    middle = volume.array[..., volume.array.shape[-1] // 2]
    if len(middle) == 3:
        rgb = np.moveaxis(middle, 0, -1).astype(np.float32) / max(float(middle.max()), 1e-6)
    else:
        rgb = np.repeat(grey_of(middle[0], plan)[..., None], 3, axis=2)
    rgb = rgb.swapaxes(0, 1) if volume.array.shape[-1] == 1 else rgb.swapaxes(0, 1)[::-1, ::-1]
    times = max(1, _EDGE // max(rgb.shape[:2]))
    return rgb.repeat(times, axis=0).repeat(times, axis=1)
