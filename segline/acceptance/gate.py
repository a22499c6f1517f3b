"""The gate: whether every backend gives PyTorch's answer, and whether that is good enough."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segline.acceptance.verdict import (
    ABSENT,
    Absence,
    CaseComparison,
    JudgedBackend,
    Verdict,
    required_agreement,
)
from segline.backends import REFERENCE, Precision
from segline.common.errors import SeglineError
from segline.evaluation.equivalence import EQUIVALENCE_CASES, equivalence
from segline.evaluation.masks import voxel_agreement
from segline.evaluation.records import EVALUATION, CaseEvaluation, Evaluation
from segline.imaging.files import read_volume
from segline.plan import Gate


def judge(folders: Sequence[Path], requirements: Gate) -> Verdict:
    """Compare evaluations, one folder a backend.

    Args:
        folders: each with ``evaluation.json`` and masks, or with ``absent.json``.
        requirements: of the plan.

    Raises:
        SeglineError: an evaluation or a mask cannot be read, PyTorch's evaluation is missing, two are of one
            backend, or not of the same model and cases.
    """
    found = _by_backend(folders)
    absent = [outcome for _, outcome in found.values() if isinstance(outcome, Absence)]
    evaluated = {b: (f, outcome) for b, (f, outcome) in found.items() if isinstance(outcome, Evaluation)}
    folder, reference = _take_reference(evaluated, absent)
    comparisons: list[CaseComparison] = []
    for place, evaluation in evaluated.values():
        _require_same_subject(reference, evaluation)
        comparisons += _compare(folder, reference, place, evaluation)
    evaluations = [reference, *(evaluation for _, evaluation in evaluated.values())]
    backends = [_judged(evaluation, reference, requirements) for evaluation in evaluations]
    precisions = {judged.backend: judged.precision for judged in backends}
    reasons = [
        *_missing(requirements.required, precisions, absent),
        *(r for judged in backends for r in _below_floor(judged, requirements)),
        *(r for c in comparisons for r in _disagreements(c, precisions[c.backend], requirements)),
        *(r for judged in backends for r in _not_equivalent(judged)),
    ]
    return Verdict(
        passed=not reasons,
        reasons=tuple(reasons),
        notes=tuple(_notes(backends, absent, requirements)),
        requirements=requirements,
        cases=len(reference.cases),
        backends=tuple(backends),
        comparisons=tuple(comparisons),
        absent=tuple(absent),
    )


def _by_backend(folders: Sequence[Path]) -> dict[str, tuple[Path, Evaluation | Absence]]:
    found: dict[str, tuple[Path, Evaluation | Absence]] = {}
    for folder in folders:
        outcome = _outcome(folder)
        if outcome.backend in found:
            first, _ = found[outcome.backend]
            raise SeglineError(
                f"compare: {first} and {folder} are both of {outcome.backend}; give one of them"
            )
        found[outcome.backend] = folder, outcome
    return found


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
    folder: Path, reference: Evaluation, other_folder: Path, other: Evaluation
) -> list[CaseComparison]:
    comparisons = []
    for wanted, got in zip(reference.cases, other.cases, strict=True):
        agreement = voxel_agreement(_mask(folder, wanted), _mask(other_folder, got))
        comparisons.append(_compare_case(other.backend, wanted, got, agreement))
    return comparisons


def _compare_case(
    backend: str, wanted: CaseEvaluation, got: CaseEvaluation, agreement: float
) -> CaseComparison:
    pairs = [(wanted.figures[label], got.figures[label]) for label in wanted.figures]
    return CaseComparison(
        backend=backend,
        case=wanted.case,
        dice_difference=max(_difference(a["dice"], b["dice"]) for a, b in pairs),
        nsd_difference=max(_difference(a["nsd"], b["nsd"]) for a, b in pairs),
        voxel_agreement=agreement,
    )


def _difference(a: float | None, b: float | None) -> float:
    """Of two shares; the largest there is, 1, where only one is defined."""
    if a is None or b is None:
        return float(a is not b)
    return abs(a - b)


def _judged(evaluation: Evaluation, reference: Evaluation, gate: Gate) -> JudgedBackend:
    pairs = zip(evaluation.cases, reference.cases, strict=True)
    differences = [got.score - wanted.score for got, wanted in pairs]
    margin = required_agreement(evaluation.precision, gate).equivalence_margin
    return JudgedBackend(
        backend=evaluation.backend,
        precision=evaluation.precision,
        mean_dice=evaluation.overall["dice"].mean,
        equivalence=None if evaluation is reference else equivalence(differences, margin),
    )


def _missing(
    required: Sequence[str], evaluated: Mapping[str, Precision], absent: Sequence[Absence]
) -> list[str]:
    why = {absence.backend: f"it is absent: {absence.reason}" for absence in absent}
    return [
        f"{backend}: required, but {why.get(backend, 'it was not evaluated')}"
        for backend in required
        if backend not in evaluated
    ]


def _below_floor(judged: JudgedBackend, gate: Gate) -> list[str]:
    dice = judged.mean_dice
    if dice is not None and dice >= gate.dice_floor:
        return []
    value = "undefined" if dice is None else f"{dice:.4f}"
    return [f"{judged.backend}: mean test Dice {value} is below the floor {gate.dice_floor:g}"]


def _disagreements(comparison: CaseComparison, precision: Precision, gate: Gate) -> list[str]:
    where = f"{comparison.backend} against {REFERENCE}, {comparison.case}"
    dice, nsd, agreement = comparison.dice_difference, comparison.nsd_difference, comparison.voxel_agreement
    required = required_agreement(precision, gate)
    reasons = []
    if dice > required.dice_difference:
        reasons.append(f"{where}: Dice differs by {dice:.5f} > {required.dice_difference:g}")
    if nsd > required.nsd_difference:
        reasons.append(f"{where}: NSD differs by {nsd:.5f} > {required.nsd_difference:g}")
    if agreement < required.voxel_agreement:
        reasons.append(f"{where}: {agreement:.6f} of the voxels agree < {required.voxel_agreement:g}")
    return reasons


def _not_equivalent(judged: JudgedBackend) -> list[str]:
    found = judged.equivalence
    if not found or found.ci90 is None or found.shown:
        return []
    low, high = found.ci90
    return [
        f"{judged.backend} against {REFERENCE}: mean Dice not shown to be equal within {found.margin:g}: "
        f"differs by {found.mean_difference:+.5f}, 90 % interval {low:+.5f} to {high:+.5f} "
        f"(TOST p = {found.p:.3g}, {found.count} cases)"
    ]


def _notes(backends: Sequence[JudgedBackend], absent: Sequence[Absence], gate: Gate) -> list[str]:
    untested = [
        f"{judged.backend} against {REFERENCE}: equivalence was not tested, for which "
        f"{EQUIVALENCE_CASES} cases are needed and there are {judged.equivalence.count}"
        for judged in backends
        if judged.equivalence and judged.equivalence.p is None
    ]
    missed = [f"{a.backend}: absent: {a.reason}" for a in absent if a.backend not in gate.required]
    return [*untested, *missed]


def _mask(folder: Path, case: CaseEvaluation) -> np.ndarray:
    return read_volume(folder / case.answer).array


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
