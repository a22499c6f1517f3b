"""A run in the trackers that this process's environment asks for: while it trains, and when it ends."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from segline.common.documents.names import FOLDS
from segline.common.errors import SeglineError
from segline.runs.run import Run
from segline.stages.frame import Location, access_here, open_registry
from segline.stages.source_commit import source_commit
from segline.storage.access import is_uri
from segline.tracking import Tracker
from segline.tracking.asked import Asked, trackers_of
from segline.tracking.facts import facts_at_start, facts_with_folds
from segline.tracking.live import finish, live
from segline.training.listening import Listener

_log = logging.getLogger(__name__)


@contextmanager
def shown_live(
    record: Run, run: Location, store: Location, tracking: str, several: bool
) -> Iterator[Listener]:
    """Who is told of the points of a run's training; ``several``: networks are trained at once."""
    asked = _asked(_beside(run, record), store, tracking)
    for line in asked.refused:
        _log.warning(line)
    facts = facts_at_start(record.info, source_commit(Path(__file__).parent), _parent(run))
    with live(asked.trackers, facts, several) as listener:
        yield listener


def end_tracked(record: Run, run: Location, store: Location, tracking: str) -> None:
    """End a run, and those of its folds, wherever they were begun and not recorded.

    What is wrong is a warning in the log.
    """
    whole = _asked(_beside(run, record), store, tracking).trackers
    if not whole:
        return
    try:
        facts = facts_with_folds(record, source_commit(Path(__file__).parent))
    except SeglineError as error:
        _log.warning("run %s is not ended in %s: %s", run, ", ".join(whole), error)
        return
    each = [_trackers_of_fold(fold, run, store, tracking) for fold in record.folds]
    finish([(whole, facts), *zip(each, facts.folds, strict=True)])


def _trackers_of_fold(fold: Run, run: Location, store: Location, tracking: str) -> Mapping[str, Tracker]:
    place = f"{str(run).rstrip('/')}/{FOLDS}/{fold.folder.name}"
    return _asked(_beside(place, fold), store, tracking).trackers


def _asked(folder: Path, store: Location, tracking: str) -> Asked:
    return trackers_of(os.environ, folder, _mlflow(store, tracking))


def _mlflow(store: Location, tracking: str) -> str:
    """The URI of MLflow where one is named; a store's own registry is told of a run when it is registered."""
    try:
        in_bucket = is_uri(access_here().store_at(store))
        named = tracking or (in_bucket and os.environ.get("MLFLOW_TRACKING_URI"))
        return open_registry(store, tracking).uri if named else ""
    except SeglineError as error:
        if tracking:
            _log.warning("no curves in MLflow: %s", error)
        return ""


def _beside(run: Location, record: Run) -> Path:
    """The folder in which the run's own lies; of a run in a bucket that itself, which is sent there."""
    place = access_here().run_at(run)
    if is_uri(place):
        return record.folder
    folder = Path(place).absolute()
    return folder.parents[2] if _parent(run) else folder.parent


def _parent(run: Location) -> str:
    """The id of the run of whose folds this is one; empty if it is none."""
    *_, parent, folds, _number = ("", "", *str(run).rstrip("/").split("/"))
    return parent if folds == FOLDS else ""
