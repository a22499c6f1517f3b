"""Whether the model may be used: the gate's verdict, and the check of the exported graph."""

from collections.abc import Sequence

from segline.evaluation import Evaluation
from segline.export import LARGEST_DIFFERENCE
from segline.gate import CaseComparison, Verdict
from segline.model import OnnxSidecar
from segline.plan import Gate
from segline.report.data import fact_list
from segline.report.markup import Content, Html, cell, details, element, heading, number, table
from segline.report.overview import reason_list
from segline.report.wording import counted, dash, decimal, scientific, short_digest


def gate(verdict: Verdict, evaluations: Sequence[Evaluation]) -> Html:
    """The verdict, what was required and what was found."""
    word = "passed" if verdict.passed else "blocked"
    pill = "succeeded" if verdict.passed else "blocked"
    return element(
        "section",
        element("h2", "Gate ", element("span", word, class_=f"pill {pill}")),
        reason_list(verdict.reasons) if verdict.reasons else None,
        _weak_floor(verdict.requirements),
        _requirements(verdict, evaluations),
        _by_case(verdict.comparisons),
        id="gate",
    )


def export(sidecar: OnnxSidecar) -> Html:
    """How the ONNX graph was checked against PyTorch."""
    facts: list[tuple[str, Content]] = [
        (
            "Largest score difference",
            f"{scientific(sidecar.max_abs_difference)} (allowed {LARGEST_DIFFERENCE:g})",
        ),
        ("Voxels with the same label", decimal(sidecar.label_agreement, 6)),
        ("Real patches compared", str(sidecar.checked_patches)),
        ("Opset", str(sidecar.opset)),
        ("PyTorch", sidecar.torch_version),
        ("ONNX Runtime", sidecar.onnxruntime_version),
        ("Graph", short_digest(sidecar.onnx_sha256)),
        ("Of weights", short_digest(sidecar.weights_sha256)),
    ]
    return element("section", element("h2", "ONNX export"), fact_list(facts), id="onnx-export")


def _weak_floor(requirements: Gate) -> Html | None:
    if requirements.dice_floor > 0:
        return None
    told = (
        "The floor of the mean test Dice is 0, which every model passes: set gate.dice_floor in the task "
        "to what the model has to reach."
    )
    return element("p", told, class_="note")


def _requirements(verdict: Verdict, evaluations: Sequence[Evaluation]) -> Html:
    rows = [_floor_row(evaluation, verdict.requirements) for evaluation in evaluations]
    for backend in dict.fromkeys(comparison.backend for comparison in verdict.comparisons):
        ours = [comparison for comparison in verdict.comparisons if comparison.backend == backend]
        rows.extend(_difference_rows(backend, ours, verdict.requirements))
    if not verdict.comparisons:
        lonely = f"only {', '.join(verdict.backends)} was evaluated, so there is nothing to compare"
        rows.append(["Agreement of backends", "", number(dash(lonely)), cell(lonely), ""])
    head = ("Requirement", heading("Required", numeric=True), heading("Found", numeric=True), "Where", "")
    return table(head, rows)


def _floor_row(evaluation: Evaluation, requirements: Gate) -> list[Content]:
    dice = evaluation.overall["dice"].mean
    found = dash("no test case has a defined Dice") if dice is None else decimal(dice, 4)
    met = dice is not None and dice >= requirements.dice_floor
    return [
        f"Mean test Dice, {evaluation.backend}",
        number(f"≥ {requirements.dice_floor:g}"),
        number(found),
        counted(len(evaluation.cases), "case"),
        _mark(met),
    ]


def _difference_rows(backend: str, ours: Sequence[CaseComparison], required: Gate) -> list[list[Content]]:
    dice = max(ours, key=lambda comparison: comparison.dice_difference)
    nsd = max(ours, key=lambda comparison: comparison.nsd_difference)
    least = min(ours, key=lambda comparison: comparison.voxel_agreement)
    return [
        [
            f"Dice difference, {backend}",
            number(f"≤ {required.dice_difference:g}"),
            number(decimal(dice.dice_difference, 6)),
            _where(dice, dice.dice_difference == 0),
            _mark(dice.dice_difference <= required.dice_difference),
        ],
        [
            f"NSD difference, {backend}",
            number(f"≤ {required.nsd_difference:g}"),
            number(decimal(nsd.nsd_difference, 6)),
            _where(nsd, nsd.nsd_difference == 0),
            _mark(nsd.nsd_difference <= required.nsd_difference),
        ],
        [
            f"Equal voxels, {backend}",
            number(f"≥ {required.voxel_agreement:g}"),
            number(decimal(least.voxel_agreement, 6)),
            _where(least, least.voxel_agreement == 1),
            _mark(least.voxel_agreement >= required.voxel_agreement),
        ],
    ]


def _where(extreme: CaseComparison, none_differs: bool) -> str:
    return "no case differs" if none_differs else f"largest in {extreme.case}"


def _mark(met: bool) -> Html:
    return element("span", "met" if met else "not met", class_=f"pill {'succeeded' if met else 'failed'}")


def _by_case(comparisons: Sequence[CaseComparison]) -> Html | None:
    if not comparisons:
        return None
    rows = [
        (
            comparison.backend,
            comparison.case,
            *(
                number(decimal(value, 6), sort=value)
                for value in (
                    comparison.dice_difference,
                    comparison.nsd_difference,
                    comparison.voxel_agreement,
                )
            ),
        )
        for comparison in comparisons
    ]
    columns = [heading(name, numeric=True) for name in ("Dice difference", "NSD difference", "Equal voxels")]
    body = table(("Backend", "Case", *columns), rows, "sortable")
    return details("Every case against PyTorch", element("div", body, class_="tall"))
