"""Tracking: a run's plan, curves, figures and documents, as one run of MLflow.

No patient is named: cases go by the short digest of their content, of which the private map stays in the
run's folder.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from segline.acceptance.members import COMPARISON
from segline.data.pseudonyms import Pseudonyms
from segline.evaluation.folds import CROSS_VALIDATION, POOLED
from segline.evaluation.records import EVALUATION
from segline.runs.contents import Contents
from segline.runs.run import Run
from segline.tracking.facts import (
    CONTENT_TAG,
    NOT_IN_A_NAME,
    Point,
    content_digest,
    ended,
    milliseconds,
    parameters,
    points,
    status,
    tags,
)
from segline.tracking.mlflow_connection import Registry

if TYPE_CHECKING:
    from mlflow.entities import Metric

_METRICS_A_BATCH = 1000
_PARAMS_A_BATCH = 100
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


@dataclass(frozen=True)
class Tracked:
    """Where a run went."""

    experiment_id: str
    run_id: str
    """MLflow's."""


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
    with registry.readable_errors():
        for params in _batches(parameters(run, found), _PARAMS_A_BATCH):
            registry.client.log_batch(run_id, params=[Param(*param) for param in params])
        for metrics in _batches(points(run, found, names), _METRICS_A_BATCH):
            registry.client.log_batch(run_id, metrics=[_metric(point) for point in metrics])
        told = [RunTag(key, value) for key, value in tags(run, found, commit).items()]
        registry.client.log_batch(run_id, tags=told)
        _log_documents(registry, run_id, run, names)
        registry.client.set_terminated(run_id, status(run), milliseconds(ended(run)))
    return Tracked(experiment_id, run_id)


def _find_or_create(registry: Registry, experiment_id: str, run: Run, found: Contents, parent: str) -> str:
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE

    nested = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
    content = content_digest(run, found)
    with registry.readable_errors():
        same = registry.client.search_runs(
            [experiment_id], f"tags.`{CONTENT_TAG}` = '{content}'", max_results=1
        )
        if same:
            return str(same[0].info.run_id)
        created = registry.client.create_run(
            experiment_id,
            start_time=milliseconds(run.info.started),
            tags={
                CONTENT_TAG: content,
                MLFLOW_SOURCE_NAME: "segline",
                MLFLOW_SOURCE_TYPE: "PROJECT",
                **nested,
            },
            run_name=f"fold {run.info.id}" if nested else run.info.id,
        )
    return str(created.info.run_id)


def _metric(point: Point) -> "Metric":
    from mlflow.entities import Metric

    name, value, at, step = point
    return Metric(NOT_IN_A_NAME.sub("_", name), value, at, step)


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


def _batches(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
