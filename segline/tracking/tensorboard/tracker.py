"""TensorBoard as a tracker: the curves of a run while it goes on, and in the end what it came to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segline.tracking import Tracked
from segline.tracking.curves import Point
from segline.tracking.facts import Facts
from segline.tracking.figures import of_cases
from segline.tracking.tensorboard.events import Events, append, of_hparams, of_points, of_text

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

_COMPARED = "plan.training."
"""The parameters that runs are compared by; the others are read as text."""


def open_tracker(location: str) -> "TensorBoardTracker":
    """Runs below a folder, which need not exist."""
    return TensorBoardTracker(Path(location))


@dataclass(frozen=True)
class TensorBoardRun(Tracked):
    """A folder of event files."""

    path: Path
    """Of the file that is added to."""


@dataclass(frozen=True)
class TensorBoardTracker:
    """Writes facts to event files, a folder for each run below this one.

    A run that is begun again is written anew from its beginning, so that nothing is there twice that a
    killed training and the one that goes on from its checkpoint both came to, and no record is torn.
    """

    folder: Path

    def begin(self, facts: Facts) -> TensorBoardRun:
        """Show a run that goes on."""
        return TensorBoardRun(facts.title, self._events(facts).begin(facts.started))

    def add_points(self, tracked: Tracked, points: Iterable[Point]) -> None:
        """Add to the curves of a run that this process began."""
        assert isinstance(tracked, TensorBoardRun)
        append(tracked.path, of_points(points))

    def leave(self, tracked: Tracked, failed: bool) -> None:
        """Nothing is open."""

    def finish(self, facts: Facts) -> None:
        """Record a run that has curves; of one that failed before, its files stay as they are."""
        if facts.curves:
            self._record(facts)

    def record(self, facts: Facts) -> TensorBoardRun:
        """Keep a run, and its folds beside it."""
        for fold in facts.folds:
            self._record(fold)
        return self._record(facts)

    def _record(self, facts: Facts) -> TensorBoardRun:
        path = self._events(facts).begin(facts.started, [*of_points(facts.curves), *_end(facts)])
        return TensorBoardRun(facts.title, path)

    def _events(self, facts: Facts) -> Events:
        return Events(self.folder / facts.title.replace(" ", "_"))


def _end(facts: Facts) -> Iterator["Event"]:
    """No single case's: they would bury the others."""
    figures = {name: value for name, value in facts.figures.items() if not of_cases(name)}
    compared = {
        name.removeprefix("plan."): value
        for name, value in facts.values.items()
        if name.startswith(_COMPARED)
    }
    written = {name: f"{value:.6g}" for name, value in figures.items()}
    yield of_text("parameters", facts.parameters, facts.ended)
    yield of_text("results", {**facts.tags, **written}, facts.ended)
    yield from of_hparams(compared, figures, facts.ended)
