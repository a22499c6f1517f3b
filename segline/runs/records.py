"""What is written down of a run and of each of its stages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from segline.common.documents import Document
from segline.plan import Task

Status = Literal["running", "succeeded", "skipped", "failed"]


class StageRecord(Document):
    """What became of one stage."""

    kind = "a stage record"
    stage = "the stage"

    name: str
    status: Status
    started: datetime
    seconds: float
    reason: str
    """Why it was skipped or failed; otherwise what it did, in a few words."""
    memory_limit_bytes: int | None = None
    """The most memory that its container might use, if that was limited."""


class RunInfo(Document):
    """What was asked for, written before the first stage."""

    kind = "a run's description"
    stage = "download"

    id: str
    task: Task
    started: datetime
    versions: dict[str, str]
    """Of segline and the packages that decide the result."""
    machine: str


@dataclass
class Outcome:
    """What came of a stage, filled in by its body.

    A stage that cannot run here is skipped: then its body ends early, and what it had to answer is empty.
    """

    text: str = ""
    """In a few words."""
    answer: str = ""
    """What the pipeline asked."""
