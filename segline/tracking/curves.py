"""The curves of a training, point by point, under the names by which every tracker shows them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from segline.model.history import History, TrainingPoint


@dataclass(frozen=True)
class Point:
    """A value at one moment."""

    name: str
    value: float
    at: datetime
    step: int
    network: int | None = None
    """Of several that are trained at once, as in the name."""


def curves(history: History, started: datetime) -> Iterator[Point]:
    """Those of a finished training, in a run that started then."""
    several = len(history.kept_steps) > 1
    for point in history.points:
        yield from values_at(point, started, several)


def values_at(point: TrainingPoint, started: datetime, several: bool = False) -> Iterator[Point]:
    """What a training is known by at one moment; ``several``: networks are trained at once.

    The moment is counted from the run's start in minutes of training, so that a point that was shown live
    and is recorded again is the same one.
    """
    network = point.network if several else None
    of_network = "" if network is None else f"/network_{network}"
    at = started + timedelta(minutes=point.minutes)
    for name, value in _values(point):
        yield Point(name + of_network, value, at, point.step, network)


def _values(point: TrainingPoint) -> Iterator[tuple[str, float]]:
    yield "train/loss", point.loss
    yield "train/learning_rate", point.learning_rate
    if (mean := point.score) is not None:
        yield f"val/{point.figure}", mean
    for label, score in (point.scores or {}).items():
        yield f"val/{point.figure}/{label}", score
    for name, value in point.details.items():
        yield f"val/{name}", value
