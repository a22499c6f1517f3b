"""Whether the model may be used: the gate's verdict, and the check of the exported graph."""

from collections.abc import Sequence

from segline.acceptance.verdict import Absence, CaseComparison, JudgedBackend, Verdict, required_agreement
from segline.common.wording import counted
from segline.evaluation.equivalence import EQUIVALENCE_CASES
from segline.evaluation.figures import figures_among
from segline.model.sidecars import LARGEST_DIFFERENCE, OnnxSidecar
from segline.plan import Agreement, Gate
from segline.report.html.markup import Cell, Content, Html, cell, details, element, heading, number, table
from segline.report.html.wording import MOST_ROWS, dash, decimal, scientific, short_digest
from segline.report.sections.data import fact_list
from segline.report.sections.overview import reason_list


def gate(verdict: Verdict) -> Html:
    """The verdict, what was required and what was found."""
    word = "passed" if verdict.passed else "blocked"
    pill = "succeeded" if verdict.passed else "blocked"
    return element(
        "section",
        element("h2", "Gate ", element("span", word, class_=f"pill {pill}")),
        reason_list(verdict.reasons) if verdict.reasons else None,
        _weak_floor(verdict),
        *(_unused(judged) for judged in verdict.unused),
        _backends(verdict),
        element("h3", "Requirements"),
        _requirements(verdict),
        _by_case(verdict),
        id="gate",
    )


def export(sidecar: OnnxSidecar) -> Html:
    """How the ONNX graph was checked against PyTorch."""
    facts: list[tuple[str, Content]] = [
        (
            "Largest score difference",
            f"{scientific(sidecar.max_abs_difference)} (allowed {LARGEST_DIFFERENCE:g})",
        ),
        ("Share of equal answers", decimal(sidecar.label_agreement, 6)),
        ("Real patches compared", str(sidecar.checked_patches)),
        ("Opset", str(sidecar.opset)),
        ("PyTorch", sidecar.torch_version),
        ("ONNX Runtime", sidecar.onnxruntime_version),
        ("Graph", short_digest(sidecar.onnx_sha256)),
        ("Of weights", short_digest(sidecar.weights_sha256)),
    ]
    return element("section", element("h2", "ONNX export"), fact_list(facts), id="onnx-export")


def _weak_floor(verdict: Verdict) -> Html | None:
    if verdict.requirements.floor > 0:
        return None
    warning = (
        f"The floor of the mean test {verdict.title} is 0, which every model passes: set gate.floor in "
        "the task to what the model has to reach."
    )
    return element("p", warning, class_="note")


def _unused(judged: JudgedBackend) -> Html:
    told = f"{judged.backend} is not used where the choice is left open. {'; '.join(judged.failures)}."
    return element("p", told, class_="note")


def _backends(verdict: Verdict) -> Html:
    """A row a backend: its mean and how it stands to PyTorch's, or why it is absent."""
    rows = [_backend_row(judged, verdict.title) for judged in verdict.backends]
    rows += [_absent_row(absence, verdict.requirements) for absence in verdict.absent]
    figures = (f"Mean test {verdict.title}", "Difference", "90 % interval", "Margin", "TOST p")
    head = ("Backend", "Computes in", *(heading(name, numeric=True) for name in figures), "Equivalent")
    return table(head, rows)


def _backend_row(judged: JudgedBackend, title: str) -> list[Content]:
    mean = number(_mean(judged, title))
    return [element("strong", judged.backend), judged.precision, mean, *_equivalence_cells(judged)]


def _mean(judged: JudgedBackend, title: str) -> Content:
    mean = judged.mean_score
    return dash(f"no test case has a defined {title}") if mean is None else decimal(mean, 4)


def _equivalence_cells(judged: JudgedBackend) -> list[Content]:
    tested = judged.equivalence
    if tested is None:
        return [*(number(dash("the others are compared with this one")) for _ in range(4)), "reference"]
    difference = number(decimal(tested.mean_difference, 5, signed=True))
    margin = number(f"± {tested.margin:g}")
    if tested.ci90 is None or tested.p is None:
        why = dash(f"{EQUIVALENCE_CASES} or more cases are needed, there are {tested.count}")
        return [difference, number(why), margin, number(why), "not tested: too few cases"]
    interval = " to ".join(decimal(end, 5, signed=True) for end in tested.ci90)
    p = "< 0.0001" if tested.p < 1e-4 else decimal(tested.p, 4)
    return [difference, number(interval), margin, number(p), _mark(bool(tested.shown), "shown", "not shown")]


def _absent_row(absence: Absence, requirements: Gate) -> list[Content]:
    word = "required, absent" if absence.backend in requirements.required else "absent"
    pill = element("span", word, class_=f"pill {'failed' if word != 'absent' else 'skipped'}")
    return [element("strong", absence.backend), cell(pill, " ", absence.reason, class_="words", colspan=7)]


def _requirements(verdict: Verdict) -> Html:
    rows = [_floor_row(judged, verdict) for judged in verdict.backends]
    for judged in verdict.backends:
        if ours := verdict.comparisons_of(judged.backend):
            required = required_agreement(judged.precision, verdict.requirements)
            rows.extend(_difference_rows(judged.backend, ours, required))
            rows.append(_agreement_row(judged.backend, ours, required, verdict.part))
    if not verdict.comparisons:
        lonely = "no other backend was evaluated, so there is nothing to compare"
        rows.append(["Agreement of backends", "", number(dash(lonely)), cell(lonely), ""])
    head = ("Requirement", heading("Required", numeric=True), heading("Found", numeric=True), "Where", "")
    return table(head, rows)


def _floor_row(judged: JudgedBackend, verdict: Verdict) -> list[Content]:
    mean, floor = judged.mean_score, verdict.requirements.floor
    return [
        f"Mean test {verdict.title}, {judged.backend}",
        number(f"≥ {floor:g}"),
        number(_mean(judged, verdict.title)),
        counted(verdict.cases, "case"),
        _mark(mean is not None and mean >= floor),
    ]


def _difference_rows(
    backend: str, ours: Sequence[CaseComparison], required: Agreement
) -> list[list[Content]]:
    rows: list[list[Content]] = []
    for figure in figures_among(required.differences):
        most = required.differences[figure.name]
        worst = max(ours, key=lambda comparison: comparison.differences[figure.name])
        difference = worst.differences[figure.name]
        cells = [number(decimal(difference, 6)), _where(worst, difference == 0), _mark(difference <= most)]
        rows.append([f"{figure.title} difference, {backend}", number(f"≤ {most:g}"), *cells])
    return rows


def _agreement_row(
    backend: str, ours: Sequence[CaseComparison], required: Agreement, part: str
) -> list[Content]:
    least = min(ours, key=lambda comparison: comparison.agreement)
    return [
        f"Equal {part}s, {backend}",
        number(f"≥ {required.agreement:g}"),
        number(decimal(least.agreement, 6)),
        _where(least, least.agreement == 1),
        _mark(least.agreement >= required.agreement),
    ]


def _where(extreme: CaseComparison, none_differs: bool) -> str:
    return "no case differs" if none_differs else f"most in {extreme.case}"


def _mark(met: bool, yes: str = "met", no: str = "not met") -> Html:
    return element("span", yes if met else no, class_=f"pill {'succeeded' if met else 'failed'}")


def _by_case(verdict: Verdict) -> Html | None:
    if not verdict.comparisons:
        return None
    figures = figures_among(verdict.requirements.float32.differences)
    rows = [
        (
            comparison.backend,
            comparison.case,
            *(_sorted(comparison.differences[figure.name]) for figure in figures),
            _sorted(comparison.agreement),
        )
        for comparison in _most_apart(verdict.comparisons)
    ]
    names = (*(f"{figure.title} difference" for figure in figures), f"Equal {verdict.part}s")
    columns = [heading(name, numeric=True) for name in names]
    body = table(("Backend", "Case", *columns), rows, "sortable")
    total = len(verdict.comparisons)
    which = f"The {MOST_ROWS} of {total} answers that differ most" if total > MOST_ROWS else "Every case"
    return details(f"{which} against PyTorch", element("div", body, class_="tall"))


def _most_apart(comparisons: Sequence[CaseComparison]) -> Sequence[CaseComparison]:
    if len(comparisons) <= MOST_ROWS:
        return comparisons
    return sorted(comparisons, key=lambda one: -max(one.differences.values()))[:MOST_ROWS]


def _sorted(value: float) -> Cell:
    return number(decimal(value, 6), sort=value)
