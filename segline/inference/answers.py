"""What whoever predicts is handed in place of knowing what is predicted."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from segline.imaging.dicom.algorithm import Algorithm
from segline.imaging.dicom.sources import Source
from segline.imaging.volume import Volume
from segline.inference.stitching import WindowScorer
from segline.inference.stopwatch import Stopwatch
from segline.plan import Plan


class WriteDicom(Protocol):
    """Writes an answer as a DICOM object, atomically, and beside it a report of what is measured in it."""

    def __call__(
        self,
        path: Path,
        answer: Any,
        source: Source,
        plan: Plan,
        algorithm: Algorithm,
        report: Path | None = None,
    ) -> None:
        """``source`` is the series that the answer is of; ``report``, where one is wanted, its file."""


class Answers(Protocol):
    """The answers of one kind of task; goes to other processes, so it must pickle."""

    @property
    def noun(self) -> str:
        """What one is called, such as ``mask``."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of the files that one may be written to, the usual one first."""

    @property
    def measure(self) -> str:
        """Name of the number that :meth:`measured` gives."""

    @property
    def counts(self) -> bool:
        """Whether that is a whole number."""

    def words(self, plan: Plan) -> str:
        """What the model answers, for people."""

    def labels(self, plan: Plan) -> Mapping[int, str]:
        """What the network's classes are called that are looked for, by their index."""

    def predictor(
        self, plan: Plan, network: WindowScorer, watch: Stopwatch | None = None
    ) -> Callable[[Volume], Any]:
        """A function from a volume to its answer.

        It raises a ``SeglineError`` for a volume without the plan's channels, or scores that are not finite.
        """

    def write(self, path: Path, answer: Any) -> None:
        """Write an answer, atomically."""

    @property
    def write_table(self) -> Callable[[Path, Mapping[str, Any]], None] | None:
        """Write those of several volumes, by name, into one file; ``None`` where no file holds them."""

    @property
    def write_dicom(self) -> "WriteDicom | None":
        """Write one as an object of a DICOM series; ``None`` where there is no such object."""

    def measured(self, answer: Any) -> float:
        """One number of an answer, for whoever keeps a table."""

    def told(self, answer: Any) -> str:
        """In a few words, for a line on the console."""

    def figures(self, plan: Plan, answer: Any) -> dict[str, Any]:
        """What is said of an answer to machines, ready for JSON, such as the volume of each label in ml."""
