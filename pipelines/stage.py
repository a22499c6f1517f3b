"""What a local run starts: a stage, as Kubeflow's command for it tells."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from segline.common.documents.names import FOLDS, stage_record
from segline.runs.records import StageRecord
from segline.runs.run import INTERRUPTED, Run


@dataclass(frozen=True)
class Stage:
    """What a process or a container is to run, read from the command that Kubeflow gives it."""

    name: str
    """Of the component."""
    inputs: Mapping[str, Any]
    """Its parameters."""

    @classmethod
    def of(cls, command: Sequence[str]) -> "Stage":
        """From the arguments of Kubeflow's executor."""
        told = dict(pairwise(command))
        inputs = json.loads(told["--executor_input"]).get("inputs", {}).get("parameterValues", {})
        return cls(told["--function_to_execute"], inputs)

    @property
    def record(self) -> str:
        """The name of its record in the run's folder."""
        return "_".join([self.name, *([str(self.inputs["backend"])] if "backend" in self.inputs else [])])

    @property
    def title(self) -> str:
        """Its name for people; of a fold's stage with the fold."""
        run = Path(self.inputs["run"])
        return f"{self.record} of fold {run.name}" if run.parent.name == FOLDS else self.record

    def record_failure(self, reason: str) -> None:
        """Where the stage could not do so itself: its process was killed, or never began.

        What the gate blocked ends with a failure too, and has said that it was skipped.
        """
        found = self._found()
        if found and found.status in ("failed", "skipped"):
            return
        sys.stdout.write(f"segline {self.record}: {reason}\n")
        self._write_failure(reason, found)

    def record_interruption(self) -> None:
        """Whatever it says of its end itself."""
        self._write_failure(INTERRUPTED, self._found())

    def _found(self) -> StageRecord | None:
        records = Run(Path(self.inputs["run"])).stages
        return next((record for record in records if record.name == self.record), None)

    def _write_failure(self, reason: str, found: StageRecord | None) -> None:
        now = datetime.now(UTC)
        started = found.started if found else now
        seconds = round((now - started).total_seconds(), 3)
        failed = StageRecord(
            name=self.record, status="failed", started=started, seconds=seconds, reason=reason
        )
        failed.write(Path(self.inputs["run"]) / stage_record(self.record))
