"""Trackers: where runs are compared. Each writes the same neutral facts; none decides anything.

A tracker is a module with ``open_tracker(location) -> Tracker`` and one line in ``TRACKERS``.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from segline.common.errors import SeglineError

if TYPE_CHECKING:
    from segline.tracking.curves import Point
    from segline.tracking.facts import Facts

TRACKERS: Mapping[str, str] = {
    "mlflow": "segline.tracking.mlflow",
    "tensorboard": "segline.tracking.tensorboard.tracker",
    "wandb": "segline.tracking.wandb.tracker",
}


@dataclass(frozen=True)
class Tracked:
    """Where a run went."""

    run_id: str
    """The tracker's own."""


class Tracker(Protocol):
    """Keeps runs where people compare them."""

    def begin(self, facts: "Facts") -> Tracked:
        """Show a run that goes on; the same one again after an interruption.

        Its curves are added from their beginning then, by the training that goes on.

        Raises:
            SeglineError: the tracker cannot be reached or refuses.
        """
        ...

    def add_points(self, tracked: Tracked, points: "Iterable[Point]") -> None:
        """Add to the curves of a run; a point that is there already is not doubled.

        Raises:
            SeglineError: the tracker cannot be reached or refuses.
        """
        ...

    def leave(self, tracked: Tracked, failed: bool) -> None:
        """Know that nothing is added to the curves any more, and whether the training failed.

        Raises:
            SeglineError: the tracker cannot be reached or refuses.
        """
        ...

    def finish(self, facts: "Facts") -> None:
        """End a run that was begun and has not been recorded; nothing where there is none.

        Raises:
            SeglineError: the tracker cannot be reached or refuses.
        """
        ...

    def record(self, facts: "Facts") -> Tracked:
        """Keep a run, in whatever state it ended, and its folds nested in it.

        Safe to repeat: the same content goes into the same run, also after a kill half way, documents that
        were written since are added, and a run that was begun is ended.

        Raises:
            SeglineError: the tracker cannot be reached or refuses.
        """
        ...


def open_tracker(name: str, location: str) -> Tracker:
    """The tracker of a name at a location of its own kind: MLflow's tracking URI, a folder for the others.

    Raises:
        SeglineError: no such tracker.
    """
    if name not in TRACKERS:
        raise SeglineError(f"tracker {name!r}: unknown; there are {', '.join(TRACKERS)}")
    tracker: Tracker = importlib.import_module(TRACKERS[name]).open_tracker(location)
    return tracker
