"""Stages in processes of this machine, through Kubeflow's SubprocessRunner.

That runner leaves a stage to whatever signal reaches it; here a stage is ended, with all that it started,
when its run is interrupted.
"""

import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kfp import local
from kfp.local import subprocess_task_handler

from pipelines.interruption import Interruption
from pipelines.stage import Stage

_DEAF = ("sh", "-c", 'trap "" INT; exec "$0" "$@"')
"""A terminal sends Ctrl-C to every process: which of them is to end is for the run to say."""
_NOT_STARTED = 130


@dataclass(frozen=True)
class Processes:
    """The processes of one run, one a stage."""

    interruption: Interruption

    @contextmanager
    def runner(self) -> Iterator[local.SubprocessRunner]:
        """Kubeflow's runner, for as long as the block lasts."""
        replaced = subprocess_task_handler.run_local_subprocess
        subprocess_task_handler.run_local_subprocess = self._run
        try:
            yield local.SubprocessRunner(use_venv=False)
        finally:
            subprocess_task_handler.run_local_subprocess = replaced

    def _run(self, full_command: Sequence[str], env_vars: Mapping[str, str] | None = None) -> int:
        """In place of Kubeflow's function of the same arguments."""
        stage = Stage.of(full_command)
        if self.interruption.forbids(stage):
            return _NOT_STARTED
        status = self._status(stage, full_command, {**os.environ, **(env_vars or {})})
        if status and self.interruption.signals:
            stage.record_interruption()
        return status

    def _status(self, stage: Stage, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """The exit status of a process; what it prints is passed on."""
        with (
            subprocess.Popen(
                [*_DEAF, *command],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment,
            ) as process,
            self.interruption.watching(stage, partial(end_family, process.pid)),
        ):
            for line in process.stdout or ():
                sys.stdout.write(f"    {line}")
            return process.wait()


def end_family(pid: int) -> None:
    """Kill a process and all that descend from it, at once."""
    children = _children()
    family = [pid]
    for each in family:
        family.extend(children[each])
    for each in family:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def _children() -> Mapping[int, list[int]]:
    """The processes of this machine by the one that started them."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            # the name, in brackets, may hold anything
            parent = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
            children[parent].append(int(path.parent.name))
    return children
