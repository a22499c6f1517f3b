"""The gate: whether every backend gives PyTorch's answer, and whether that is good enough."""

from collections.abc import Sequence
from pathlib import Path

from segline.acceptance.verdict import Absence, CaseComparison, JudgedBackend, Verdict, required_agreement
from segline.backends import REFERENCE, Precision
from segline.backends.choice import IF_SHOWN
from segline.common.documents.names import ABSENT, EVALUATION
from segline.common.errors import SeglineError
from segline.common.wording import counted
from segline.evaluation.equivalence import EQUIVALENCE_CASES, Equivalence, equivalence
from segline.evaluation.records import CaseEvaluation, Evaluation
from segline.evaluation.yardstick import Yardstick
from segline.plan import Gate


def judge(folders: Sequence[Path], requirements: Gate, by: Yardstick) -> Verdict:
    """Compare evaluations, one folder a backend.

    Args:
        folders: each with ``evaluation.json`` and answers, or with ``absent.json``.
        requirements: of the plan.
        by: what they are compared by.

    Raises:
        SeglineError: an evaluation or an answer cannot be read, PyTorch's evaluation is missing, two are of
            one backend, or not of the same model and cases, or lack a figure that is asked for.
    """
    outcomes = _by_backend(folders)
    absent = [outcome for _, outcome in outcomes.values() if isinstance(outcome, Absence)]
    others = {b: (f, outcome) for b, (f, outcome) in outcomes.items() if isinstance(outcome, Evaluation)}
    first = _take_reference(others, absent)
    evaluated = [first, *others.values()]
    for _, evaluation in evaluated:
        _require_same_subject(first[1], evaluation)
        _require_measured(evaluation, requirements, by)
    comparisons = [c for other in others.values() for c in _compare(first, other, requirements, by)]
    backends = [_judged(evaluation, first[1], comparisons, requirements, by) for _, evaluation in evaluated]
    reasons = [
        *_missing(requirements.required, [judged.backend for judged in backends], absent),
        *(failure for judged in backends if _blocks(judged, requirements) for failure in judged.failures),
    ]
    return Verdict(
        passed=not reasons,
        reasons=tuple(reasons),
        notes=tuple(_notes(backends, absent, requirements)),
        requirements=requirements,
        cases=len(first[1].cases),
        backends=tuple(backends),
        comparisons=tuple(comparisons),
        absent=tuple(absent),
        decides=by.figures[0].name,
        part=by.part,
    )


def _blocks(judged: JudgedBackend, requirements: Gate) -> bool:
    """Whether no model is to be used that fails there: all but where none is used that has not been shown."""
    return judged.backend in requirements.required or judged.backend not in IF_SHOWN


def _by_backend(folders: Sequence[Path]) -> dict[str, tuple[Path, Evaluation | Absence]]:
    outcomes: dict[str, tuple[Path, Evaluation | Absence]] = {}
    for folder in folders:
        outcome = _outcome(folder)
        if outcome.backend in outcomes:
            first, _ = outcomes[outcome.backend]
            raise SeglineError(
                f"compare: {first} and {folder} are both of {outcome.backend}; give one of them"
            )
        outcomes[outcome.backend] = folder, outcome
    return outcomes


def _outcome(folder: Path) -> Evaluation | Absence:
    if not (folder / ABSENT).is_file():
        return Evaluation.read(folder / EVALUATION)
    if (folder / EVALUATION).is_file():
        raise SeglineError(
            f"compare: {folder} holds {EVALUATION} and {ABSENT}; remove the folder and evaluate again"
        )
    return Absence.read(folder / ABSENT)


def _take_reference(
    evaluated: dict[str, tuple[Path, Evaluation]], absent: Sequence[Absence]
) -> tuple[Path, Evaluation]:
    if REFERENCE in evaluated:
        return evaluated.pop(REFERENCE)
    why = next((f" ({absence.reason})" for absence in absent if absence.backend == REFERENCE), "")
    among = ", ".join(sorted(evaluated)) or "none"
    raise SeglineError(
        f"compare: no evaluation of {REFERENCE}{why}, the reference, among {among}; evaluate it too"
    )


def _compare(
    first: tuple[Path, Evaluation], other: tuple[Path, Evaluation], requirements: Gate, by: Yardstick
) -> list[CaseComparison]:
    (folder, reference), (place, evaluation) = first, other
    largest = required_agreement(evaluation.precision, requirements).differences
    return [
        CaseComparison(
            backend=evaluation.backend,
            case=wanted.case,
            differences={name: _largest_difference(name, wanted, got) for name in largest},
            agreement=by.agreement(folder / wanted.answer, place / got.answer),
        )
        for wanted, got in zip(reference.cases, evaluation.cases, strict=True)
    ]


def _largest_difference(name: str, wanted: CaseEvaluation, got: CaseEvaluation) -> float:
    return max(_difference(wanted.figures[label][name], got.figures[label][name]) for label in wanted.figures)


def _difference(a: float | None, b: float | None) -> float:
    """Of two shares; the largest there is, 1, where only one is defined."""
    if a is None or b is None:
        return float(a is not b)
    return abs(a - b)


def _judged(
    evaluation: Evaluation,
    reference: Evaluation,
    comparisons: Sequence[CaseComparison],
    requirements: Gate,
    by: Yardstick,
) -> JudgedBackend:
    backend, mean = evaluation.backend, evaluation.overall[by.figures[0].name].mean
    pairs = zip(evaluation.cases, reference.cases, strict=True)
    differences = [got.score - wanted.score for got, wanted in pairs]
    margin = required_agreement(evaluation.precision, requirements).equivalence_margin
    tested = None if evaluation is reference else equivalence(differences, margin)
    title = by.figures[0].title
    ours = [comparison for comparison in comparisons if comparison.backend == backend]
    failures = [
        *_below_floor(backend, mean, requirements, title),
        *(r for c in ours for r in _disagreements(c, evaluation.precision, requirements, by)),
        *_not_equivalent(backend, tested, title),
    ]
    return JudgedBackend(
        backend=backend,
        precision=evaluation.precision,
        mean_score=mean,
        equivalence=tested,
        failures=tuple(failures),
    )


def _missing(required: Sequence[str], evaluated: Sequence[str], absent: Sequence[Absence]) -> list[str]:
    why = {absence.backend: f"it is absent: {absence.reason}" for absence in absent}
    return [
        f"{backend}: required, but {why.get(backend, 'it was not evaluated')}"
        for backend in required
        if backend not in evaluated
    ]


def _below_floor(backend: str, mean: float | None, gate: Gate, title: str) -> list[str]:
    if mean is not None and mean >= gate.floor:
        return []
    value = "undefined" if mean is None else f"{mean:.4f}"
    return [f"{backend}: mean test {title} {value} is below the floor {gate.floor:g}"]


def _disagreements(comparison: CaseComparison, precision: Precision, gate: Gate, by: Yardstick) -> list[str]:
    where = f"{comparison.backend} against {REFERENCE}, {comparison.case}"
    required, titles = required_agreement(precision, gate), {each.name: each.title for each in by.figures}
    reasons = [
        f"{where}: {titles[name]} differs by {difference:.5f} > {required.differences[name]:g}"
        for name, difference in comparison.differences.items()
        if difference > required.differences[name]
    ]
    if comparison.agreement < required.agreement:
        share = f"{comparison.agreement:.6f} of the {by.part}s agree"
        reasons.append(f"{where}: {share} < {required.agreement:g}")
    return reasons


def _not_equivalent(backend: str, tested: Equivalence | None, title: str) -> list[str]:
    if not tested or tested.ci90 is None or tested.shown:
        return []
    low, high = tested.ci90
    return [
        f"{backend} against {REFERENCE}: mean {title} not shown to be equal within {tested.margin:g}: "
        f"differs by {tested.mean_difference:+.5f}, 90 % interval {low:+.5f} to {high:+.5f} "
        f"(TOST p = {tested.p:.3g}, {counted(tested.count, 'case')})"
    ]


def _notes(backends: Sequence[JudgedBackend], absent: Sequence[Absence], gate: Gate) -> list[str]:
    untested = [
        f"{judged.backend} against {REFERENCE}: equivalence was not tested, for which "
        f"{EQUIVALENCE_CASES} cases are needed and there are {judged.equivalence.count}"
        for judged in backends
        if judged.equivalence and judged.equivalence.p is None
    ]
    missed = [f"{a.backend}: absent: {a.reason}" for a in absent if a.backend not in gate.required]
    unused = [why for judged in backends if not _blocks(judged, gate) for why in judged.failures]
    return [*untested, *missed, *unused]


def _require_same_subject(reference: Evaluation, other: Evaluation) -> None:
    for what in ("plan_digest", "dataset_digest"):
        if getattr(reference, what) != getattr(other, what):
            raise SeglineError(
                f"compare: {other.backend} was evaluated under another {what} than {reference.backend}; "
                "evaluate both with one model on one data set"
            )
    if [case.case for case in reference.cases] != [case.case for case in other.cases]:
        raise SeglineError(
            f"compare: {other.backend} was evaluated on other cases than {reference.backend}; "
            "evaluate it again"
        )


def _require_measured(evaluation: Evaluation, gate: Gate, by: Yardstick) -> None:
    known = {figure.name for figure in by.figures} & evaluation.overall.keys()
    needed = {by.figures[0].name, *gate.float32.differences, *gate.reduced.differences}
    if missing := needed - known:
        raise SeglineError(
            f"compare: the gate asks for the figure {min(missing)}, which {evaluation.backend} was not "
            f"measured by; there are {', '.join(sorted(known))}"
        )
