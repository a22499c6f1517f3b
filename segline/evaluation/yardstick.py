"""What evaluation and the gate are handed in place of knowing what an answer is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from segline.data.manifest import Manifest
from segline.evaluation.figures import Figure
from segline.evaluation.records import CaseEvaluation
from segline.imaging.volume import Volume
from segline.inference.answers import Answers
from segline.inference.stitching import WindowScorer
from segline.plan import Plan


@dataclass(frozen=True)
class Scored:
    """One case, and its share of what is counted over all cases."""

    evaluation: CaseEvaluation
    counted: Any = None


class Yardstick(Protocol):
    """What answers of one kind of task are measured and compared by."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The first decides."""

    @property
    def part(self) -> str:
        """What an answer is made of, as ``voxel``."""

    @property
    def how(self) -> str:
        """In words, what answers are scored on or against."""

    @property
    def answers(self) -> Answers:
        """What is measured."""

    def conditions(self, plan: Plan) -> dict[str, float]:
        """What the figures rest on, as ``nsd_tolerance_mm``."""

    def names(self, plan: Plan) -> Sequence[str]:
        """Of what each figure is measured, such as the labels."""

    def predictor(self, plan: Plan, network: WindowScorer) -> Callable[[Volume], Any]:
        """From a volume to what :meth:`score` needs of a prediction; errors as the answers' own."""

    def score(self, plan: Plan, manifest: Manifest, case: str, predicted: Any, folder: Path) -> Scored:
        """Write a prediction's answer into ``folder``, and measure it against the truth.

        Raises:
            SeglineError: the case's files cannot be read.
        """

    def total(self, counted: Sequence[Any]) -> Mapping[str, Any]:
        """What was counted over all cases, as fields of an evaluation."""

    def agreement(self, a: Path, b: Path) -> float:
        """Share of the parts that are equal in the answers of two files.

        Raises:
            SeglineError: a file cannot be read, or the two cannot be compared.
        """
