"""A job: one volume that was sent, what became of it, and what may be fetched."""

import secrets
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from segline.common.errors import SeglineError
from segline.inference.familiarity.judging import Familiarity


class Status(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class CancelledError(SeglineError):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Sent:
    """What was sent, on the disk.

    Attributes:
        folder: of the job alone, removed with it.
        images: one file a channel, one with all, or a folder with a DICOM series.
        needs_bytes: estimate of the memory that an answer takes.
        windows: estimate of how many windows it is cut into.
        wants_dicom: whether a DICOM-SEG is made, too.
    """

    folder: Path
    images: tuple[Path, ...]
    needs_bytes: int
    windows: int = 1
    wants_dicom: bool = False

    @property
    def series(self) -> Path | None:
        """The folder of the DICOM series, if it is one."""
        return self.images[0] if self.images[0].is_dir() else None


@dataclass(eq=False)
class Job:
    """One volume's way; changed by the desk alone."""

    sent: Sent
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    status: Status = Status.QUEUED
    progress: float = 0.0
    """Share done, 0 to 1."""
    error: str = ""
    """In one line, once it failed."""
    answer: Mapping[str, Any] | None = None
    """Figures, remarks and who answered, ready for JSON, once it is done."""
    file: Path | None = None
    """The answer's own, such as the mask."""
    dicom: Path | None = None
    """A DICOM-SEG, where one is wanted."""
    familiar: Familiarity | None = None
    """How far the volume lies from what was learned, where that is known."""
    ended: float | None = None
    """``time.monotonic()`` of its end."""
    finished: "Future[None]" = field(default_factory=Future)
    cancelled: bool = False

    def end(self, status: Status, error: str = "") -> None:
        """Tell whoever waits."""
        self.status, self.error, self.ended = status, error, time.monotonic()
        self.progress = 1.0 if status is Status.DONE else self.progress
        self.finished.set_result(None)

    def heed(self) -> None:
        """Stop here if it was cancelled.

        Raises:
            CancelledError: it was.
        """
        if self.cancelled:
            raise CancelledError("cancelled")

    @property
    def described(self) -> dict[str, Any]:
        """Where it is, ready for JSON."""
        told: dict[str, Any] = {
            "id": self.id,
            "status": self.status.value,
            "progress": round(self.progress, 3),
        }
        if self.error:
            told["error"] = self.error
        if self.answer is not None:
            told["answer"] = self.answer
        return told
