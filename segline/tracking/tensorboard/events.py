"""TensorBoard's event files: what is in a record, and whole files in place of earlier ones."""

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from segline.common import atomic
from segline.common.errors import UnavailableError, imports_of
from segline.tracking.curves import Point

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

_FORMAT = "brain.Event:2"
_NAMES = "events.out.tfevents.*.segline"
_COLUMNS = "| | |\n|---|---|\n"


@dataclass(frozen=True)
class Events:
    """The event files of one run.

    Their names say when the run started and how often they were begun anew, and nothing of the machine, as
    those of TensorBoard's own writer do.
    """

    folder: Path

    def begin(self, started: datetime, events: Iterable["Event"] = ()) -> Path:
        """A new file in place of all that are there; it appears whole.

        A TensorBoard that is looking forgets what it read before. It goes on to the next file only from one
        that is still there: the last one stays, empty.
        """
        earlier = sorted(self.folder.glob(_NAMES))
        number = 1 + int(earlier[-1].name.split(".")[-2]) if earlier else 0
        path = self.folder / f"events.out.tfevents.{started.timestamp():010.0f}.{number:03}.segline"
        with atomic.new_file(path) as scratch:
            append(scratch, [*_head(started), *events])
            for each in earlier[:-1]:
                each.unlink(missing_ok=True)
            if earlier:
                os.truncate(earlier[-1], 0)
        return path


def append(path: Path, events: Iterable["Event"]) -> None:
    """Add to a file in one write, after which they can be read."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in events:
        writer.write(event.SerializeToString())
    with path.open("ab") as file:
        file.write(buffer.getvalue())


def of_points(points: Iterable[Point]) -> Iterator["Event"]:
    """Scalars."""
    require_tensorboard()
    from torch.utils.tensorboard.summary import scalar

    for point in points:
        yield _event(point.at, scalar(point.name, point.value), point.step)


def of_text(name: str, rows: Mapping[str, object], at: datetime) -> "Event":
    """A table of names and values."""
    from torch.utils.tensorboard.summary import text

    lines = (f"| {key} | {str(value).replace('|', '/')} |" for key, value in rows.items())
    return _event(at, text(name, _COLUMNS + "\n".join(lines)))


def of_hparams(
    parameters: Mapping[str, str | float], figures: Mapping[str, float], at: datetime
) -> list["Event"]:
    """What runs are compared by, on TensorBoard's page of that name; the figures as scalars too."""
    from torch.utils.tensorboard.summary import hparams

    described = [_event(at, each) for each in hparams(dict(parameters), dict(figures))]
    return [*described, *of_points(Point(name, value, at, 0) for name, value in figures.items())]


def require_tensorboard() -> None:
    """Make sure that the package is there.

    Raises:
        UnavailableError: it is not.
    """
    with imports_of("tensorboard", "TensorBoard", UnavailableError):
        import tensorboard  # noqa: F401


def _head(at: datetime) -> Iterator["Event"]:
    require_tensorboard()
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    yield Event(wall_time=at.timestamp(), file_version=_FORMAT)
    yield Event(wall_time=at.timestamp(), session_log=SessionLog(status=SessionLog.START), step=0)


def _event(at: datetime, summary: "Summary", step: int = 0) -> "Event":
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=at.timestamp(), step=step, summary=summary)
