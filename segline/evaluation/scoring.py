"""Evaluation: test cases, predicted and scored."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from segline.backends import Backend
from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.common.wording import counted
from segline.data.manifest import Manifest
from segline.evaluation.masks.yardstick import MASKS
from segline.evaluation.records import CaseEvaluation, Evaluation, figures_over
from segline.evaluation.yardstick import Scored, Yardstick
from segline.imaging.volume import Volume
from segline.model.package import Model
from segline.plan import Plan


def evaluate(
    model: Model,
    backend: Backend,
    manifest: Manifest,
    folder: Path,
    progress: Progress = silent,
    cases: Sequence[str] | None = None,
    by: Yardstick = MASKS,
) -> Evaluation:
    """Predict and score the plan's test cases, or ``cases``; answers are saved in ``folder``.

    The figures of one case are computed while the next ones are predicted, a few at most: each waits with
    its answer in memory.

    Raises:
        SeglineError: a case is not in the data set or its files cannot be read.
    """
    plan = model.plan
    predictor = by.predictor(plan, backend)
    names = plan.split.test if cases is None else tuple(cases)
    workers = max(1, (os.cpu_count() or 2) // 2)
    with ThreadPoolExecutor(workers) as pool:
        futures: list[Future[Scored]] = []
        for number, name in enumerate(names):
            if number > workers:
                futures[number - workers - 1].result()
            progress(number / len(names), f"{backend.name}: case {number + 1} of {len(names)}")
            predicted = _predicted(predictor, manifest, name, backend.name)
            futures.append(pool.submit(by.score, plan, manifest, name, predicted, folder))
        scored = [future.result() for future in futures]
    progress(1.0, f"{backend.name}: {counted(len(names), 'case')}")
    evaluation = summarise(backend, plan, [one.evaluation for one in scored], by)
    return evaluation.model_copy(update=by.total([one.counted for one in scored]))


def summarise(
    backend: Backend, plan: Plan, cases: Sequence[CaseEvaluation], by: Yardstick = MASKS
) -> Evaluation:
    """Estimates over cases, of each label and of the mean over labels."""
    return Evaluation(
        backend=backend.name,
        backend_version=backend.version,
        precision=backend.precision,
        plan_digest=plan.digest,
        dataset_digest=plan.dataset_digest,
        conditions=by.conditions(plan),
        **figures_over(cases, by.names(plan), by.figures),
    )


def _predicted(predictor: Callable[[Volume], Any], manifest: Manifest, name: str, backend: str) -> Any:
    try:
        return predictor(manifest.image(manifest.case(name)))
    except SeglineError as error:
        raise SeglineError(f"{backend}, {name}: {error}") from error
