"""MLflow as a tracker: the facts of a run, as one run of the experiment ``segline-<task>``."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from segline.tracking import Tracked
from segline.tracking.curves import Point
from segline.tracking.facts import Facts
from segline.tracking.mlflow_connection import Registry

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.entities import Run as StoredRun

CONTENT_TAG = "segline.content"
ONGOING_TAG = "segline.ongoing"
"""On a run that was begun and not recorded yet: what was asked for, as a digest."""
_NOT_IN_A_NAME = re.compile(r"[^\w\-. :/]")
_METRICS_A_BATCH = 1000
_PARAMS_A_BATCH = 100

Item = TypeVar("Item")


def open_tracker(location: str) -> "MlflowTracker":
    """MLflow at a tracking URI; it is reached when it is used."""
    return MlflowTracker(Registry(location))


@dataclass(frozen=True)
class MlflowRun(Tracked):
    """A run of MLflow."""

    experiment_id: str
    steps: dict[str, set[int]] = field(default_factory=dict, compare=False, repr=False)
    """At which its curves have points, as far as it was asked for."""


@dataclass(frozen=True)
class MlflowTracker:
    """Writes facts to MLflow."""

    registry: Registry

    def begin(self, facts: Facts) -> MlflowRun:
        """Show a run that goes on."""
        return self.registry.patiently(lambda: self._begin(facts))

    def add_points(self, tracked: Tracked, points: Iterable[Point]) -> None:
        """Add to the curves of a run; what MLflow has at a step already stays as it is.

        A training that was killed and goes on comes to the same step at another time.
        """
        assert isinstance(tracked, MlflowRun)
        kept = tuple(points)
        self.registry.patiently(lambda: self._add_to_curves(tracked, kept))

    def leave(self, tracked: Tracked, failed: bool) -> None:
        """A run whose training failed is shown as failed until it goes on; any other is still running."""
        if failed:
            self.registry.patiently(lambda: self.registry.client.set_terminated(tracked.run_id, "FAILED"))

    def finish(self, facts: Facts) -> None:
        """Record a run that was begun, unless that was done."""
        if self.registry.patiently(lambda: self._begun(facts)):
            self.registry.patiently(lambda: self._record(facts, parent=""))

    def record(self, facts: Facts) -> MlflowRun:
        """Keep a run and its folds."""
        tracked = self.registry.patiently(lambda: self._record(facts, parent=""))
        for fold in facts.folds:
            self.registry.patiently(partial(self._record, fold, parent=tracked.run_id))
        return tracked

    def _begin(self, facts: Facts) -> MlflowRun:
        experiment_id = self._experiment(facts)
        known = self._find(experiment_id, ONGOING_TAG, facts.asked)
        if known:
            self.registry.client.update_run(known, status="RUNNING")
        run_id = known or self._create(experiment_id, facts, facts.title, {ONGOING_TAG: facts.asked})
        self._write(run_id, facts)
        return MlflowRun(run_id, experiment_id)

    def _record(self, facts: Facts, parent: str) -> MlflowRun:
        """``parent`` is MLflow's id of the run in which this one is nested."""
        experiment_id = self._experiment(facts)
        run_id = self._run_to_record(experiment_id, facts, parent)
        recorded = MlflowRun(run_id, experiment_id)
        self._write(run_id, facts)
        self._add_to_curves(recorded, facts.curves)
        self._log_points(run_id, (Point(*figure, facts.ended, 0) for figure in facts.figures.items()))
        self._log_documents(run_id, facts.documents)
        status = "FAILED" if facts.failed else "FINISHED"
        self.registry.client.set_terminated(run_id, status, _milliseconds(facts.ended))
        return recorded

    def _begun(self, facts: Facts) -> bool:
        experiment = self.registry.client.get_experiment_by_name(_experiment_name(facts))
        return bool(experiment and self._find(experiment.experiment_id, ONGOING_TAG, facts.asked))

    def _experiment(self, facts: Facts) -> str:
        return self.registry.experiment(_experiment_name(facts))

    def _run_to_record(self, experiment_id: str, facts: Facts, parent: str) -> str:
        """The one that has this content, else the one that was begun, else a new one."""
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        name = f"fold {facts.run}" if parent else facts.run
        identity = {CONTENT_TAG: facts.content, **({MLFLOW_PARENT_RUN_ID: parent} if parent else {})}
        recorded = self._find(experiment_id, CONTENT_TAG, facts.content)
        begun = self._find(experiment_id, ONGOING_TAG, facts.asked)
        if begun and recorded in (None, begun):
            self._end(begun, name, identity)
        return recorded or begun or self._create(experiment_id, facts, name, identity)

    def _end(self, run_id: str, name: str, identity: Mapping[str, str]) -> None:
        """The mark last: what is killed in between is done again by the same call."""
        self.registry.client.update_run(run_id, name=name)
        for key, value in identity.items():
            self.registry.client.set_tag(run_id, key, value)
        self.registry.client.delete_tag(run_id, ONGOING_TAG)

    def _find(self, experiment_id: str, tag: str, value: str) -> str | None:
        runs = self.registry.client.search_runs([experiment_id], f"tags.`{tag}` = '{value}'", max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def _create(self, experiment_id: str, facts: Facts, name: str, identity: Mapping[str, str]) -> str:
        from mlflow.utils.mlflow_tags import MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE

        source = {MLFLOW_SOURCE_NAME: "segline", MLFLOW_SOURCE_TYPE: "PROJECT"}
        created: StoredRun = self.registry.client.create_run(
            experiment_id,
            start_time=_milliseconds(facts.started),
            tags={**identity, **source},
            run_name=name,
        )
        return str(created.info.run_id)

    def _write(self, run_id: str, facts: Facts) -> None:
        """Parameters and tags."""
        from mlflow.entities import Param, RunTag
        from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

        params = [Param(_name(name), value) for name, value in facts.parameters.items()]
        for batch in _batches(params, _PARAMS_A_BATCH):
            self.registry.client.log_batch(run_id, params=batch)
        commit = {MLFLOW_GIT_COMMIT: facts.commit} if facts.commit else {}
        tags = [RunTag(key, value) for key, value in {**facts.tags, **commit}.items()]
        self.registry.client.log_batch(run_id, tags=tags)

    def _add_to_curves(self, tracked: MlflowRun, points: Sequence[Point]) -> None:
        for name in {point.name for point in points} - tracked.steps.keys():
            there = self.registry.client.get_metric_history(tracked.run_id, _name(name))
            tracked.steps[name] = {point.step for point in there}
        self._log_points(tracked.run_id, (one for one in points if one.step not in tracked.steps[one.name]))
        for point in points:
            tracked.steps[point.name].add(point.step)

    def _log_points(self, run_id: str, points: Iterable[Point]) -> None:
        for batch in _batches(map(_metric, points), _METRICS_A_BATCH):
            self.registry.client.log_batch(run_id, metrics=batch)

    def _log_documents(self, run_id: str, documents: Mapping[str, str]) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            for name, text in documents.items():
                path = Path(scratch, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            self.registry.client.log_artifacts(run_id, scratch)


def _experiment_name(facts: Facts) -> str:
    return f"segline-{facts.task}"


def _metric(point: Point) -> "Metric":
    from mlflow.entities import Metric

    return Metric(_name(point.name), point.value, _milliseconds(point.at), point.step)


def _name(name: str) -> str:
    return _NOT_IN_A_NAME.sub("_", name)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _batches(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
