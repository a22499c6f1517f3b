"""Tracking: a run's plan, curves, figures and documents, as one run of MLflow.

No patient is named: cases go by the short digest of their content, of which the private map stays in the
run's folder.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from segline.backends import REFERENCE
from segline.common.digests import sha256_of_json
from segline.data.pseudonyms import Pseudonyms
from segline.evaluation.estimates import Estimate
from segline.evaluation.folds import CROSS_VALIDATION, POOLED, CrossValidation
from segline.evaluation.scoring import EVALUATION, METRICS, Evaluation
from segline.model.history import History
from segline.plan.plan import Plan
from segline.runs.run import Contents, Run
from segline.tracking.mlflow_connection import Registry
from segline.training.assembly import COMPARISON

if TYPE_CHECKING:
    from mlflow.entities import Metric

CONTENT_TAG = "segline.content"
_METRICS_A_BATCH = 1000
_PARAMS_A_BATCH = 100
_NOT_IN_A_NAME = re.compile(r"[^\w\-. :/]")
_JSON_DOCUMENTS = (
    "run.json",
    "plan.json",
    "gate.json",
    "benchmark.json",
    "decision.json",
    "summary.json",
    CROSS_VALIDATION,
    f"{POOLED}/{EVALUATION}",
    COMPARISON,
)
_PAGES = ("report.html",)
_TEXTS = ("model_card.md",)

Item = TypeVar("Item")
Point = tuple[str, float, int, int]
"""Name, value, time in ms since 1970, step."""


@dataclass(frozen=True)
class Tracked:
    """Where a run went."""

    experiment_id: str
    run_id: str
    """MLflow's."""


def source_commit(folder: Path) -> str:
    """The git commit of a checkout, ``-dirty`` with changes; empty where there is no git or no checkout."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def track(run: Run, registry: Registry, commit: str = "") -> Tracked:
    """Log a run, in whatever state it is, to the experiment ``segline-<task>``.

    Safe to repeat: the same content goes into the same run of MLflow, also after a kill half way, and
    documents written since, such as the report, are added.

    Args:
        run: in which at least ``run.json`` lies.
        registry: where to.
        commit: of the code that made it.

    Raises:
        SeglineError: this is not a run's folder, or MLflow cannot be reached or refuses.
    """
    return _track(run, run.contents, registry, commit)


def track_folds(run: Run, registry: Registry, commit: str = "") -> Tracked:
    """Log a cross-validation as :func:`track` does, and each of its folds as a run nested in its own.

    Raises:
        SeglineError: this is not a run's folder, or MLflow cannot be reached or refuses.
    """
    found = run.contents
    whole = _track(run, found, registry, commit)
    for fold in run.folds:
        _track(fold, replace(fold.contents, manifest=found.manifest), registry, commit, whole.run_id)
    return whole


def _track(run: Run, found: Contents, registry: Registry, commit: str, parent: str = "") -> Tracked:
    """``parent`` is MLflow's id of the run in which this one is nested."""
    from mlflow.entities import Param, RunTag

    names = Pseudonyms.of(found.manifest)
    experiment_id = registry.experiment(f"segline-{run.info.task.name}")
    run_id = _find_or_create(registry, experiment_id, run, found, parent)
    with registry.told():
        for params in _batches(_params(run, found), _PARAMS_A_BATCH):
            registry.client.log_batch(run_id, params=[Param(*param) for param in params])
        for metrics in _batches(_metrics(run, found, names), _METRICS_A_BATCH):
            registry.client.log_batch(run_id, metrics=[_metric(point) for point in metrics])
        tags = [RunTag(key, value) for key, value in _tags(run, found, commit).items()]
        registry.client.log_batch(run_id, tags=tags)
        _log_documents(registry, run_id, run, names)
        registry.client.set_terminated(run_id, _status(run), _milliseconds(_ended(run)))
    return Tracked(experiment_id, run_id)


def _find_or_create(registry: Registry, experiment_id: str, run: Run, found: Contents, parent: str) -> str:
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE

    nested = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
    content = _content_digest(run, found)
    with registry.told():
        same = registry.client.search_runs(
            [experiment_id], f"tags.`{CONTENT_TAG}` = '{content}'", max_results=1
        )
        if same:
            return str(same[0].info.run_id)
        created = registry.client.create_run(
            experiment_id,
            start_time=_milliseconds(run.info.started),
            tags={
                CONTENT_TAG: content,
                MLFLOW_SOURCE_NAME: "segline",
                MLFLOW_SOURCE_TYPE: "PROJECT",
                **nested,
            },
            run_name=f"fold {run.info.id}" if nested else run.info.id,
        )
    return str(created.info.run_id)


def _content_digest(run: Run, found: Contents) -> str:
    documents = (run.info, found.plan, found.history, *found.evaluations, found.verdict, found.benchmark)
    written = [document.model_dump_json() for document in documents if document is not None]
    return sha256_of_json([*written, found.model.digests() if found.model else None])


def _tags(run: Run, found: Contents, commit: str) -> dict[str, str]:
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


def _params(run: Run, found: Contents) -> Iterator[tuple[str, str]]:
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
    return _NOT_IN_A_NAME.sub("_", name), value if isinstance(value, str) else json.dumps(value)


def _metrics(run: Run, found: Contents, names: Pseudonyms) -> Iterator[Point]:
    started = run.info.started
    if found.history:
        yield from _curves(found.history, started)
    at = _milliseconds(_ended(run))
    for name, value in _figures(found, names):
        if value is not None:
            yield name, float(value), at, 0


def _curves(history: History, started: datetime) -> Iterator[Point]:
    for point in history.points:
        at, step = _milliseconds(started + timedelta(minutes=point.minutes)), point.step
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
        for label, values in case.labels.items():
            for metric in METRICS:
                yield f"case/{names[case.case]}/{label}/{metric}", getattr(values, metric)


def _metric(point: Point) -> "Metric":
    from mlflow.entities import Metric

    name, value, at, step = point
    return Metric(_NOT_IN_A_NAME.sub("_", name), value, at, step)


def _log_documents(registry: Registry, run_id: str, run: Run, names: Pseudonyms) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in _documents(run, names):
            path = Path(scratch, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        registry.client.log_artifacts(run_id, scratch)


def _documents(run: Run, names: Pseudonyms) -> Iterator[tuple[str, str]]:
    evaluations = [f"predictions/{path.parent.name}/{path.name}" for path in _evaluation_files(run)]
    for name in (*_JSON_DOCUMENTS, *evaluations):
        if (run.folder / name).is_file():
            shown = name.replace("predictions/", "evaluations/").replace("/evaluation.json", ".json")
            yield shown, names.hide_in_json((run.folder / name).read_text(encoding="utf-8"))
    for name in _TEXTS:
        if (run.folder / name).is_file():
            yield name, names.hide((run.folder / name).read_text(encoding="utf-8"))
    for name in _PAGES if names.telling else ():
        if (run.folder / name).is_file():
            yield name, names.hide_in_page((run.folder / name).read_text(encoding="utf-8"))


def _evaluation_files(run: Run) -> Iterable[Path]:
    return sorted(run.folder.glob("predictions/[!.]*/evaluation.json"))


def _status(run: Run) -> str:
    return "FAILED" if any(record.status == "failed" for record in run.stages) else "FINISHED"


def _ended(run: Run) -> datetime:
    return max(
        [run.info.started, *(record.started + timedelta(seconds=record.seconds) for record in run.stages)]
    )


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _batches(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
