"""What a report is made of: a run's folder, read once, and why each missing part is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from segline.common.errors import SeglineError
from segline.evaluation.figures import Figure
from segline.evaluation.masks.yardstick import MASKS
from segline.evaluation.records import CaseEvaluation, Evaluation
from segline.evaluation.yardstick import Yardstick
from segline.model.sidecars import OnnxSidecar
from segline.runs.contents import Contents
from segline.runs.records import RunInfo, StageRecord
from segline.runs.run import Run
from segline.runs.summary import Summary, summarise_run


@dataclass(frozen=True)
class Findings:
    """A run, as far as it came."""

    run: Run
    info: RunInfo
    summary: Summary
    contents: Contents
    by: Yardstick
    """What it was measured by."""

    @classmethod
    def of(cls, run: Run, by: Yardstick = MASKS) -> "Findings":
        """Read a run's folder.

        Raises:
            SeglineError: this is not a run's folder.
        """
        return cls(run, run.info, summarise_run(run), run.contents, by)

    @property
    def reference(self) -> Evaluation | None:
        """The evaluation that others are compared with; the first one where that is missing."""
        return self.contents.reference or next(iter(self.contents.evaluations), None)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What the reference was measured by; where there is none yet, what it would be."""
        return self.reference.figures if self.reference else self.by.figures

    @property
    def ranked(self) -> list[CaseEvaluation]:
        """The test cases of the reference, the lowest score first."""
        return sorted(self.reference.cases, key=lambda case: case.order) if self.reference else []

    @cached_property
    def export(self) -> OnnxSidecar | str:
        """The sidecar of the exported graph, or why there is none."""
        if self.contents.model is None:
            return self.why_missing("export_onnx")
        try:
            return self.contents.model.sidecar()
        except SeglineError as error:
            stage = self.stage("export_onnx")
            return str(error) if stage and stage.status == "succeeded" else self.why_missing("export_onnx")

    def stage(self, name: str) -> StageRecord | None:
        """The record of one stage, or of the first that starts with ``name``."""
        return next((record for record in self.summary.stages if record.name.startswith(name)), None)

    def why_missing(self, stage: str) -> str:
        """Why there is nothing of ``stage``: what it says itself, or what ended the run before it."""
        record = self.stage(stage)
        if record is None:
            ended = [other.name for other in self.summary.stages if other.status == "failed"]
            return f"not reached, because {ended[0]} failed" if ended else "this stage was not run"
        if record.status in ("failed", "skipped"):
            return f"{record.status}: {record.reason or 'no reason was given'}"
        return "the stage succeeded, but its result in the run's folder is missing or damaged"


def chosen(ranked: Sequence[CaseEvaluation]) -> list[tuple[str, CaseEvaluation]]:
    """The worst, the median and the best, no case twice."""
    if len(ranked) < 3:
        return list(zip(("Worst test case", "Best test case"), ranked, strict=False))
    return [
        ("Worst test case", ranked[0]),
        ("Median test case", middle(ranked)),
        ("Best test case", ranked[-1]),
    ]


def middle(ranked: Sequence[CaseEvaluation]) -> CaseEvaluation:
    """The median; of two in the middle the worse."""
    return ranked[(len(ranked) - 1) // 2]
