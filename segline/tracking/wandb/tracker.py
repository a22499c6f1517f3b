"""Weights & Biases as a tracker: curves, parameters and figures; no file, no picture and no code."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from segline.common.errors import SeglineError
from segline.tracking import Tracked
from segline.tracking.curves import Point
from segline.tracking.facts import Facts
from segline.tracking.figures import of_cases
from segline.tracking.wandb import process

PROJECT = "segline"
"""Where ``WANDB_PROJECT`` names none."""
_STEP = "step"
_SECONDS_TO_END = 1.0
_ID_DIGITS = 16
_HERE = "machine"
"""The parameter that describes the machine."""
_OWN_FOLDERS = ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")


def open_tracker(location: str) -> "WandbTracker":
    """Runs whose files lie in a folder, unless ``WANDB_DIR`` names one; W&B's variables say all the rest."""
    return WandbTracker(Path(os.environ.get("WANDB_DIR") or location).absolute(), os.environ)


@dataclass(frozen=True)
class WandbRun(Tracked):
    """A run, and the process that writes it."""

    client: "subprocess.Popen[str]" = field(compare=False)

    def ask(self, do: str, **told: Any) -> None:
        """Let the process do something, and wait for it.

        Raises:
            SeglineError: W&B's own reason for not doing it; or the process has ended.
        """
        assert self.client.stdin and self.client.stdout
        try:
            self.client.stdin.write(json.dumps({"do": do, **told}) + "\n")
            self.client.stdin.flush()
            answer = self.client.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            raise SeglineError("W&B: the process of its client has ended")
        if refused := json.loads(answer):
            raise SeglineError(f"W&B: {refused}")

    def close(self) -> None:
        """Let the process end, which it does by itself once nobody can ask it any more."""
        for stream in (self.client.stdin, self.client.stdout):
            with suppress(OSError):
                stream.close() if stream else None
        with suppress(subprocess.TimeoutExpired):
            self.client.wait(_SECONDS_TO_END)


@dataclass(frozen=True)
class WandbTracker:
    """Writes facts to W&B.

    A run has the same id from its start to its end, whichever process goes on with it. The server says how
    far it came; without one, each process writes a run whole and takes the place of what was there.
    """

    folder: Path
    environment: Mapping[str, str]

    def begin(self, facts: Facts) -> WandbRun:
        """Show a run that goes on."""
        run = WandbRun(facts.asked[:_ID_DIGITS], self._start_client())
        try:
            run.ask("begin", **self._asked(run.run_id, facts))
        except SeglineError:
            run.close()
            raise
        for folder in sorted(self.folder.glob(f"wandb/offline-run-*-{run.run_id}"))[:-1]:
            shutil.rmtree(folder, ignore_errors=True)
        return run

    def add_points(self, tracked: Tracked, points: Iterable[Point]) -> None:
        """Add to the curves of a run that this process began."""
        assert isinstance(tracked, WandbRun)
        for counted_by, rows in groupby(_rows(points), key=lambda row: next(iter(row))):
            tracked.ask("add", rows=list(rows), counted_by=counted_by)

    def leave(self, tracked: Tracked, failed: bool) -> None:
        """Until the run is recorded, it is shown as finished, or as failed."""
        assert isinstance(tracked, WandbRun)
        try:
            tracked.ask("finish", exit_code=int(failed))
        finally:
            tracked.close()

    def finish(self, facts: Facts) -> None:
        """Record a run that has curves; of one that failed before, all is there."""
        if facts.curves:
            self._record(facts)

    def record(self, facts: Facts) -> WandbRun:
        """Keep a run, and its folds in the same group."""
        for fold in facts.folds:
            self._record(fold)
        return self._record(facts)

    def _record(self, facts: Facts) -> WandbRun:
        run = self.begin(facts)
        self.add_points(run, facts.curves)
        figures = {name: value for name, value in facts.figures.items() if not of_cases(name)}
        parameters = {name: value for name, value in facts.values.items() if name != _HERE}
        run.ask("conclude", config={**parameters, **facts.tags}, figures=figures)
        self.leave(run, facts.failed)
        return run

    def _asked(self, run_id: str, facts: Facts) -> dict[str, Any]:
        group = facts.parent or (facts.run if facts.folds else None)
        return {
            "settings": {"root_dir": str(self.folder)},
            "project": self.environment.get("WANDB_PROJECT") or PROJECT,
            "id": run_id,
            "name": facts.title,
            "group": group,
            "tags": [facts.task],
            "resume": "allow",
        }

    def _start_client(self) -> "subprocess.Popen[str]":
        """Out of reach of Ctrl-C and with nothing of ours to print to; what it keeps lies beside the runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        own = {name: str(self.folder / "wandb" / ".client") for name in _OWN_FOLDERS}
        return subprocess.Popen(
            [sys.executable, "-P", process.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**self.environment, **own},
            start_new_session=True,
        )


def _rows(points: Iterable[Point]) -> Iterator[dict[str, float]]:
    """The values of each moment, its step first; networks that are trained at once count for themselves."""
    for (step, network), values in groupby(points, key=lambda point: (point.step, point.network)):
        counted_by = _STEP if network is None else f"{_STEP}/network_{network}"
        yield {counted_by: step, **{point.name: point.value for point in values}}
