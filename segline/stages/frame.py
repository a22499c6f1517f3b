"""What every stage stands in: the run it works on, the places it is told of, and who is told its figures."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

from segline.common.errors import LostDeviceError, SeglineError
from segline.common.progress import ConsoleProgress
from segline.data.cases.case import Case
from segline.data.cases.index import CaseIndex
from segline.data.kept_files import bring_dataset
from segline.data.manifest import Manifest
from segline.evaluation.records import Evaluation
from segline.plan import Plan
from segline.planning.folds import fold_tasks, resplit
from segline.runs.records import Outcome
from segline.runs.remote import OpenRun, open_run
from segline.runs.run import Run
from segline.storage.access import Access

if TYPE_CHECKING:
    from segline.tracking import Tracker
    from segline.tracking.mlflow_connection import Registry


_TRIES, _MOST_TRIES, _PAUSE_S = "SEGLINE_TRIES", 3, 10.0

Location = str | Path
"""A file or folder, as a container is told of it."""
LogMetric = Callable[[str, float], None]
"""Is told a figure's name and value."""


class LogClasses(Protocol):
    """Is told how voxels were classified."""

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        """Voxels: a row a true label, a column a predicted one."""

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None:
        """Of foreground against background."""


def access_here() -> Access:
    return Access.from_environment(os.environ)


def manifest_here(path: Location, names: Sequence[str] | None = None) -> Manifest:
    """With the files of the named cases, or of all, on this machine."""
    return bring_dataset(Manifest.read(Path(path)), access_here(), names, ConsoleProgress("[data]"))


def cases_here(path: Location, names: Sequence[str]) -> Sequence[Case]:
    return CaseIndex.read(Path(path)).bring(names, access_here(), ConsoleProgress("[cases]")).open(names)


def as_paths(locations: Sequence[Location]) -> list[Path]:
    return [Path(location) for location in locations]


def fold_plans(record: Run, whole: Plan) -> list[Plan]:
    return [resplit(whole, task) for task in fold_tasks(record.info.task)]


def open_registry(store: Location, tracking: str) -> "Registry":
    from segline.tracking.mlflow_connection import registry_at

    return registry_at(access_here().store_at(store), tracking, os.environ)


def tracker_at(store: Location, tracking: str) -> "Tracker":
    from segline.tracking import open_tracker

    return open_tracker("mlflow", open_registry(store, tracking).uri)


@contextmanager
def ended_in_one_line(name: str) -> Iterator[None]:
    """End the process with the stage's name and the line of an error that a user can act on.

    Where a GPU failed under it, the process begins anew first, twice at most.
    """
    try:
        yield
    except LostDeviceError as error:
        _begin_anew(name, error)
    except SeglineError as error:
        raise SystemExit(f"segline {name}: {error}") from None


def _begin_anew(name: str, error: LostDeviceError) -> NoReturn:
    """The same program in place of this one; a training goes on from its checkpoint."""
    tries = int(os.environ.get(_TRIES, "1"))
    if tries >= _MOST_TRIES:
        raise SystemExit(
            f"segline {name}: {error}, {tries} times; look at the node's dmesg for Xid"
        ) from None
    sys.stderr.write(f"segline {name}: {error}; trying again\n")
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(_PAUSE_S * tries)
    os.environ[_TRIES] = str(tries + 1)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@contextmanager
def stage(run: Location, name: str, opened: OpenRun = open_run) -> Iterator[tuple[Run, Outcome]]:
    with (
        ended_in_one_line(name),
        opened(run, access_here()) as record,
        record.stage(name) as outcome,
    ):
        yield record, outcome
        if outcome.text:
            sys.stdout.write(f"[{name}] {outcome.text}\n")


def tell_figures(scalars: Mapping[str, float], log_metric: LogMetric | None) -> None:
    for name, value in scalars.items():
        if log_metric:
            log_metric(name, value)


def tell_classes(evaluation: Evaluation, log: LogClasses | None) -> None:
    if log and (confusion := evaluation.confusion):
        log.log_confusion_matrix(list(confusion.labels), [list(row) for row in confusion.voxels])
    if log and (classes := evaluation.classes):
        log.log_confusion_matrix(list(classes.names), [list(row) for row in classes.confusion])
    if log and evaluation.scores and (roc := evaluation.scores.roc()):
        rates = list(roc.false_positive_rate), list(roc.true_positive_rate)
        log.log_roc_curve(*rates, list(roc.threshold))


def require_same_dataset(plan: Plan, manifest: Manifest) -> None:
    if plan.dataset_digest != manifest.digest:
        raise SeglineError(
            f"the model's plan is of data set {plan.dataset_digest[:12]}, not {manifest.digest[:12]}: "
            "its test cases may have been trained on; evaluate on the data set it was planned for"
        )


def inference_device(device: str) -> str:
    """Where backends run in a run on ``device``: a GPU to train on is one that not every backend can use."""
    return "cpu" if device == "cpu" else "auto"


def worker_count() -> int:
    return len(os.sched_getaffinity(0))
