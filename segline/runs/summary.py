"""The summary of a run, for machines: ``summary.json``."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from segline.acceptance.times import Benchmark
from segline.acceptance.verdict import Absence, Verdict
from segline.common import atomic
from segline.data.intake import NOTHING_NEW
from segline.data.manifest import Manifest
from segline.evaluation.equivalence import Equivalence
from segline.evaluation.estimates import Estimate
from segline.evaluation.records import Evaluation
from segline.plan import Split
from segline.runs.contents import Contents
from segline.runs.records import StageRecord
from segline.runs.run import INTERRUPTED, Run

RunStatus = Literal["succeeded", "unchanged", "blocked", "failed"]
"""``unchanged``: a retraining found nothing new."""
_KILLED = "killed before it could end"
"""How the reason begins of a stage that left no other."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class DatasetSummary(_Part):
    """Which data."""

    name: str
    digest: str
    cases: int


class BackendSummary(_Part):
    """The test figures of one backend."""

    overall: dict[str, Estimate]
    by_label: dict[str, dict[str, Estimate]]
    worst: tuple[str, ...]


class GateSummary(_Part):
    """The gate's verdict."""

    passed: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    absent: tuple[Absence, ...]
    equivalence: dict[str, Equivalence]
    """Of each backend to PyTorch."""
    figures: dict[str, float]
    """The verdict's :attr:`~segline.acceptance.gate.Verdict.scalars`."""


class Summary(_Part):
    """What became of a run."""

    id: str
    task: str
    status: RunStatus
    reasons: tuple[str, ...]
    """Why it failed or was blocked."""
    seconds: float
    """Sum over stages."""
    stages: tuple[StageRecord, ...]
    dataset: DatasetSummary | None
    split: Split | None
    metrics: dict[str, BackendSummary]
    gate: GateSummary | None
    benchmark: Benchmark | None
    model: dict[str, str]
    """SHA-256 of each file of the model package, and the digests of the plan and data set."""

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        atomic.write_text(path, self.model_dump_json(indent=2) + "\n")


def summarise_run(run: Run, ongoing: str = "report") -> Summary:
    """Read a run's folder, whatever state it is in; ``ongoing`` is the stage that asks, and is left out.

    Any other that is still marked as running was killed, since the one that asks comes after all others.

    Raises:
        SeglineError: this is not a run's folder.
    """
    info, contents = run.info, run.contents
    records = tuple(_settled(record) for record in run.stages if record.name != ongoing)
    verdict, model, manifest, plan = contents.verdict, contents.model, contents.manifest, contents.plan
    ended = [f"{record.name}: {record.reason}" for record in records if record.status == "failed"]
    failed = (*ended, *contents.problems)
    blocked = verdict.reasons if verdict else ("no verdict: compare did not run",)
    complete = _is_unchanged(records) or contents.only_folds
    return Summary(
        id=info.id,
        task=info.task.name,
        status=_status(contents, bool(failed), records),
        reasons=failed or (() if complete else blocked),
        seconds=round(sum(record.seconds for record in records), 3),
        stages=records,
        dataset=_dataset(manifest) if manifest else None,
        split=plan.split if plan and not contents.only_folds else None,
        metrics={evaluation.backend: _backend(evaluation) for evaluation in contents.evaluations},
        gate=_gate(verdict) if verdict else None,
        benchmark=contents.benchmark,
        model=model.digests() if model else {},
    )


def _status(contents: Contents, failed: bool, records: tuple[StageRecord, ...]) -> RunStatus:
    if failed:
        return "failed"
    if _is_unchanged(records):
        return "unchanged"
    if contents.only_folds:
        return "succeeded"
    if contents.verdict is None:
        return "failed"
    return "succeeded" if contents.verdict.passed else "blocked"


def _is_unchanged(records: tuple[StageRecord, ...]) -> bool:
    intake = next((record for record in records if record.name == "intake"), None)
    return intake is not None and intake.reason.startswith(NOTHING_NEW)


def was_killed(record: StageRecord) -> bool:
    """Whether a stage of a summary left no reason of its own."""
    return record.reason.startswith(_KILLED)


def was_interrupted(record: StageRecord) -> bool:
    """Whether a stage was ended by who ran it."""
    return record.status == "failed" and record.reason == INTERRUPTED


def _settled(record: StageRecord) -> StageRecord:
    if record.status != "running":
        return record
    limit = record.memory_limit_bytes
    needs = f": its pod was lost, or needs more than its {limit / 2**30:.3g} GiB of memory" if limit else ""
    return record.model_copy(update={"status": "failed", "reason": _KILLED + needs})


def _dataset(manifest: Manifest) -> DatasetSummary:
    return DatasetSummary(name=manifest.name, digest=manifest.digest, cases=len(manifest.cases))


def _gate(verdict: Verdict) -> GateSummary:
    return GateSummary(
        passed=verdict.passed,
        reasons=verdict.reasons,
        notes=verdict.notes,
        absent=verdict.absent,
        equivalence={judged.backend: judged.equivalence for judged in verdict.backends if judged.equivalence},
        figures=verdict.scalars,
    )


def _backend(evaluation: Evaluation) -> BackendSummary:
    return BackendSummary(
        overall=evaluation.overall,
        by_label=evaluation.by_label,
        worst=evaluation.worst,
    )
