"""Facts of a run, whatever tracks it: parameters, curves, figures and tags by name."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from segline.backends import REFERENCE
from segline.common.digests import sha256_of_json
from segline.data.pseudonyms import Pseudonyms
from segline.evaluation.estimates import Estimate
from segline.evaluation.folds import CrossValidation
from segline.evaluation.records import Evaluation
from segline.model.history import History
from segline.plan import Plan
from segline.runs.contents import Contents
from segline.runs.run import Run

CONTENT_TAG = "segline.content"
NOT_IN_A_NAME = re.compile(r"[^\w\-. :/]")
Point = tuple[str, float, int, int]
"""Name, value, time in ms since 1970, step."""


def content_digest(run: Run, found: Contents) -> str:
    documents = (run.info, found.plan, found.history, *found.evaluations, found.verdict, found.benchmark)
    written = [document.model_dump_json() for document in documents if document is not None]
    return sha256_of_json([*written, found.model.digests() if found.model else None])


def tags(run: Run, found: Contents, commit: str) -> dict[str, str]:
    verdict = found.verdict
    tags = {
        "segline.run": run.info.id,
        "segline.task": run.info.task.name,
        "segline.dataset": found.manifest.digest if found.manifest else "",
        "segline.plan": found.plan.digest if found.plan else "",
        "segline.verdict": "none" if verdict is None else "passed" if verdict.passed else "blocked",
        "mlflow.source.git.commit": commit,
    }
    return {key: value for key, value in tags.items() if value}


def parameters(run: Run, found: Contents) -> Iterator[tuple[str, str]]:
    yield from (_param(f"versions.{name}", version) for name, version in run.info.versions.items())
    yield "machine", run.info.machine
    if found.plan:
        yield from _plan_params(found.plan)
    if found.history:
        yield "train.device", found.history.device
        yield "train.resumed_from_step", str(found.history.resumed_from_step)


def _plan_params(plan: Plan) -> Iterator[tuple[str, str]]:
    """The plan, one value a line; of the split only how many, since it names cases."""
    values = plan.model_dump(mode="json", exclude={"split", "pseudonyms"})
    for part in ("train", "val", "test"):
        values[f"split.{part}"] = len(getattr(plan.split, part))
    yield from (_param(f"plan.{path}", value) for path, value in _flat(values))


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _param(name: str, value: Any) -> tuple[str, str]:
    return NOT_IN_A_NAME.sub("_", name), value if isinstance(value, str) else json.dumps(value)


def points(run: Run, found: Contents, names: Pseudonyms) -> Iterator[Point]:
    started = run.info.started
    if found.history:
        yield from _curves(found.history, started)
    at = milliseconds(ended(run))
    for name, value in _figures(found, names):
        if value is not None:
            yield name, float(value), at, 0


def _curves(history: History, started: datetime) -> Iterator[Point]:
    for point in history.points:
        at, step = milliseconds(started + timedelta(minutes=point.minutes)), point.step
        of_network = f"/network_{point.network}" if len(history.kept_steps) > 1 else ""
        yield f"train/loss{of_network}", point.loss, at, step
        yield f"train/learning_rate{of_network}", point.learning_rate, at, step
        if (mean := point.mean_val_dice) is not None:
            yield f"val/dice{of_network}", mean, at, step
        for label, dice in (point.val_dice or {}).items():
            yield f"val/dice/{label}{of_network}", dice, at, step


def _figures(found: Contents, names: Pseudonyms) -> Iterator[tuple[str, float | None]]:
    for evaluation in found.evaluations:
        yield from _overall_figures(evaluation)
        if evaluation.backend == REFERENCE:  # the gate holds every other backend to the same figures
            yield from _case_figures(evaluation, names)
    if found.cross_validation:
        yield from _fold_figures(found.cross_validation)
    for name, value in found.comparison.scalars.items() if found.comparison else ():
        yield f"ensemble/{name}", value
    for name, value in found.benchmark.scalars.items() if found.benchmark else ():
        yield f"speed/{name}", value
    for name, value in found.verdict.scalars.items() if found.verdict else ():
        yield f"gate/{name}", value
    if found.history:
        yield "train/minutes", found.history.minutes
        yield "train/best_val_dice", found.history.best_val_dice


def _overall_figures(evaluation: Evaluation) -> Iterator[tuple[str, float | None]]:
    groups = {"": evaluation.overall, **{f"/{label}": each for label, each in evaluation.by_label.items()}}
    for label, estimates in groups.items():
        yield from _estimates(f"test/{evaluation.backend}{label}", estimates)


def _fold_figures(found: CrossValidation) -> Iterator[tuple[str, float | None]]:
    yield from _estimates("folds", found.overall)
    for number, fold in enumerate(found.folds):
        yield from _estimates(f"folds/{number}", fold.overall)


def _estimates(group: str, estimates: Mapping[str, Estimate]) -> Iterator[tuple[str, float | None]]:
    for metric, estimate in estimates.items():
        name, (low, high) = f"{group}/{metric}", estimate.ci95 or (None, None)
        yield from ((name, estimate.mean), (f"{name}_ci95_low", low), (f"{name}_ci95_high", high))


def _case_figures(evaluation: Evaluation, names: Pseudonyms) -> Iterator[tuple[str, float | None]]:
    for case in evaluation.cases:
        for label, values in case.figures.items():
            for figure in evaluation.figures:
                yield f"case/{names[case.case]}/{label}/{figure.name}", values[figure.name]


def status(run: Run) -> str:
    return "FAILED" if any(record.status == "failed" for record in run.stages) else "FINISHED"


def ended(run: Run) -> datetime:
    return max(
        [run.info.started, *(record.started + timedelta(seconds=record.seconds) for record in run.stages)]
    )


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
