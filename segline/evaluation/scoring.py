"""Evaluation: test cases, scored on the untouched label files' own grids."""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segline.backends import Backend
from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.data.manifest import Manifest
from segline.evaluation.figures import SEGMENTATION
from segline.evaluation.masks.confusion import Confusion
from segline.evaluation.masks.label_metrics import label_metrics
from segline.evaluation.records import CaseEvaluation, Evaluation, figures_over
from segline.evaluation.roc import ScoreCounts, score_levels
from segline.imaging.files import write_volume
from segline.imaging.placement import Placement
from segline.imaging.preprocessing import Preprocessor
from segline.imaging.volume import Volume
from segline.inference.predictor import Predictor
from segline.model.package import Model
from segline.plan import Plan


def evaluate(
    model: Model,
    backend: Backend,
    manifest: Manifest,
    folder: Path,
    progress: Progress = silent,
    cases: Sequence[str] | None = None,
) -> Evaluation:
    """Predict and score the plan's test cases, or ``cases``; masks are saved as ``folder/<case>.nii.gz``.

    The metrics of one case are computed while the next ones are predicted, a few at most: each waits with
    its mask in memory.

    Raises:
        SeglineError: a case is not in the data set or its files cannot be read.
    """
    plan = model.plan
    predictor = Predictor(plan, backend)
    names = plan.split.test if cases is None else tuple(cases)
    workers = max(1, (os.cpu_count() or 2) // 2)
    with ThreadPoolExecutor(workers) as pool:
        futures: list[Future[_Scored]] = []
        for number, name in enumerate(names):
            if number > workers:
                futures[number - workers - 1].result()
            progress(number / len(names), f"{backend.name}: case {number + 1} of {len(names)}")
            predicted = _predicted(predictor, manifest, name, backend.name)
            futures.append(pool.submit(_score, plan, manifest, name, predicted, folder))
        scored = [future.result() for future in futures]
    progress(1.0, f"{backend.name}: {len(names)} cases")
    counted = {
        "confusion": Confusion.total(one.confusion for one in scored),
        "scores": ScoreCounts.total(one.scores for one in scored),
    }
    return summarise(backend, plan, [one.evaluation for one in scored]).model_copy(update=counted)


def summarise(backend: Backend, plan: Plan, cases: Sequence[CaseEvaluation]) -> Evaluation:
    """Estimates over cases, of each label and of the mean over labels."""
    return Evaluation(
        backend=backend.name,
        backend_version=backend.version,
        precision=backend.precision,
        plan_digest=plan.digest,
        dataset_digest=plan.dataset_digest,
        conditions={"nsd_tolerance_mm": plan.gate.nsd_tolerance_mm},
        **figures_over(cases, list(plan.foreground.values()), SEGMENTATION),
    )


@dataclass(frozen=True)
class _Predicted:
    """What is kept of a prediction until it is scored."""

    mask: Volume
    levels: np.ndarray
    """``placement.shape`` uint8, of the scores."""
    placement: Placement


@dataclass(frozen=True)
class _Scored:
    """One case, and its share of what is counted over all cases."""

    evaluation: CaseEvaluation
    confusion: Confusion
    scores: ScoreCounts


def _predicted(predictor: Predictor, manifest: Manifest, name: str, backend: str) -> _Predicted:
    try:
        leads = predictor.leads(manifest.image(manifest.case(name)))
        levels = score_levels(leads.values)
        return _Predicted(predictor.mask(leads), levels, leads.placement)
    except SeglineError as error:
        raise SeglineError(f"{backend}, {name}: {error}") from error


def _score(plan: Plan, manifest: Manifest, name: str, predicted: _Predicted, folder: Path) -> _Scored:
    mask = f"{name}.nii.gz"
    write_volume(folder / mask, predicted.mask)
    truth = manifest.label(manifest.case(name))
    found, values = predicted.mask.array[0], plan.label_values
    tolerance, spacing = plan.gate.nsd_tolerance_mm, truth.grid.spacing_mm
    figures = {
        label: label_metrics(truth.array[0] == values[k], found == values[k], spacing, tolerance).model_dump()
        for k, label in plan.foreground.items()
    }
    resampled = Preprocessor(plan.preprocessing).label(truth, predicted.placement, values)
    return _Scored(
        CaseEvaluation(case=name, figures=figures, answer=mask),
        Confusion.of(truth.array[0], found, plan.labels),
        ScoreCounts.of(predicted.levels, resampled.numpy()),
    )
