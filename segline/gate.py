"""The gate: whether every backend gives PyTorch's answer, and whether that is good enough."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from segline.backends import REFERENCE
from segline.documents import Document
from segline.errors import SeglineError
from segline.evaluation import EVALUATION, CaseEvaluation, Evaluation
from segline.metrics import voxel_agreement
from segline.plan import Gate
from segline.volumes import read_volume


class CaseComparison(BaseModel):
    """One test case of one backend against PyTorch."""

    model_config = ConfigDict(frozen=True)

    backend: str
    case: str
    dice_difference: float
    """Largest absolute difference over labels; 1 where only one of the two is defined."""
    nsd_difference: float
    """Likewise."""
    voxel_agreement: float


class Verdict(Document):
    """Whether the model may be registered; if not, why."""

    kind = "a verdict"
    stage = "compare"

    passed: bool
    reasons: tuple[str, ...]
    """One a failed requirement; empty when passed."""
    requirements: Gate
    backends: tuple[str, ...]
    comparisons: tuple[CaseComparison, ...]


def judge(folders: Sequence[Path], requirements: Gate) -> Verdict:
    """Compare evaluations, one folder (``evaluation.json`` and masks) a backend.

    Raises:
        SeglineError: an evaluation or a mask cannot be read, PyTorch's evaluation is missing, two are of one
            backend, or not of the same model and cases.
    """
    folder_of = _by_backend(folders)
    evaluations = {backend: Evaluation.read(folder / EVALUATION) for backend, folder in folder_of.items()}
    reference = evaluations.pop(REFERENCE)
    comparisons = []
    for backend, evaluation in evaluations.items():
        _require_same_subject(reference, evaluation)
        for wanted, got in zip(reference.cases, evaluation.cases, strict=True):
            agreement = voxel_agreement(_mask(folder_of[REFERENCE], wanted), _mask(folder_of[backend], got))
            comparisons.append(_compare(backend, wanted, got, agreement))
    reasons = [
        *(r for judged in (reference, *evaluations.values()) for r in _below_floor(judged, requirements)),
        *(r for comparison in comparisons for r in _disagreements(comparison, requirements)),
    ]
    return Verdict(
        passed=not reasons,
        reasons=tuple(reasons),
        requirements=requirements,
        backends=(REFERENCE, *evaluations),
        comparisons=tuple(comparisons),
    )


def _by_backend(folders: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in folders:
        backend = Evaluation.read(folder / EVALUATION).backend
        if backend in found:
            raise SeglineError(
                f"compare: {found[backend]} and {folder} are both of {backend}; give one of them"
            )
        found[backend] = folder
    if REFERENCE not in found:
        among = ", ".join(sorted(found)) or "none"
        raise SeglineError(
            f"compare: no evaluation of {REFERENCE}, the reference, among {among}; evaluate it too"
        )
    return found


def _compare(backend: str, wanted: CaseEvaluation, got: CaseEvaluation, agreement: float) -> CaseComparison:
    pairs = [(wanted.labels[label], got.labels[label]) for label in wanted.labels]
    return CaseComparison(
        backend=backend,
        case=wanted.case,
        dice_difference=max(_difference(a.dice, b.dice) for a, b in pairs),
        nsd_difference=max(_difference(a.nsd, b.nsd) for a, b in pairs),
        voxel_agreement=agreement,
    )


def _difference(a: float | None, b: float | None) -> float:
    """Of two shares; the largest there is, 1, where only one is defined."""
    if a is None or b is None:
        return float(a is not b)
    return abs(a - b)


def _below_floor(evaluation: Evaluation, gate: Gate) -> list[str]:
    dice = evaluation.overall["dice"].mean
    if dice is not None and dice >= gate.dice_floor:
        return []
    value = "undefined" if dice is None else f"{dice:.4f}"
    return [f"{evaluation.backend}: mean test Dice {value} is below the floor {gate.dice_floor:g}"]


def _disagreements(comparison: CaseComparison, gate: Gate) -> list[str]:
    where = f"{comparison.backend} against {REFERENCE}, {comparison.case}"
    dice, nsd, agreement = comparison.dice_difference, comparison.nsd_difference, comparison.voxel_agreement
    reasons = []
    if dice > gate.dice_difference:
        reasons.append(f"{where}: Dice differs by {dice:.5f} > {gate.dice_difference:g}")
    if nsd > gate.nsd_difference:
        reasons.append(f"{where}: NSD differs by {nsd:.5f} > {gate.nsd_difference:g}")
    if agreement < gate.voxel_agreement:
        reasons.append(f"{where}: {agreement:.6f} of the voxels agree < {gate.voxel_agreement:g}")
    return reasons


def _mask(folder: Path, case: CaseEvaluation) -> np.ndarray:
    return read_volume(folder / case.mask).array


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
