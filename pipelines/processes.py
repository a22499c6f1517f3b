"""Stages in processes of this machine, in place of Kubeflow's SubprocessRunner's own.

That runner leaves a stage to whatever signal reaches it, and starts Python anew for each; here a stage is
ended, with all that it started, when its run is interrupted, and is a fork of one process that has imported
once what most stages need.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path

from kfp import local
from kfp.local import subprocess_task_handler

from pipelines.interruption import Interruption
from pipelines.stage import Stage
from segline.common.errors import plain_error
from segline.common.processes.forks import deaf_to_ctrl_c, ending_in_words, exit_status, forks, start
from segline.stages import MODULES

_EXECUTOR = "kfp.dsl.executor_main"
_IMPORTED_ONCE = [
    "__main__",
    "kfp.dsl.executor",
    "segline.networks.lean_monai",
    *(f"segline.stages.{module}" for module in MODULES),
    "segline.export.onnx",
    "torch._dynamo",
]
"""They start no threads, which a fork would lose; the last is what an optimizer and an export ask for."""
_NOT_STARTED = 130


@dataclass(frozen=True)
class Processes:
    """The processes of one run, one a stage."""

    interruption: Interruption

    @contextmanager
    def runner(self) -> Iterator[local.SubprocessRunner]:
        """Kubeflow's runner, for as long as the block lasts."""
        with deaf_to_ctrl_c():  # which of the processes is to end is for the run to say
            if forks(*_IMPORTED_ONCE).get_start_method() == "forkserver":
                forkserver.ensure_running()
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
        try:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
                environment = {**os.environ, **(env_vars or {}), "TMPDIR": scratch}
                status = self._status(stage, full_command, environment)
            reason = ending_in_words(status)
        except (OSError, EOFError) as error:  # the second where the one it is to be a fork of was killed
            status, reason = _NOT_STARTED, f"its process could not be started: {plain_error(error)}"
        if status and self.interruption.signals:
            stage.record_interruption()
        elif status:
            stage.record_failure(reason)
        return status

    def _status(self, stage: Stage, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """The exit status of a process; what it prints is passed on."""
        context = forks(*_IMPORTED_ONCE)
        printed, output = context.Pipe(duplex=False)
        process = context.Process(target=_execute, args=(command, environment, output), name=stage.record)
        start(process)
        output.close()
        with (
            printed,
            self.interruption.watching(stage, partial(end_family, process.pid or 0)),
            open(printed.fileno(), errors="replace", closefd=False) as lines,
        ):
            for line in lines:
                sys.stdout.write(f"    {line}")
            status = exit_status(process)
        assert status is not None
        return status


def _execute(command: Sequence[str], environment: Mapping[str, str], output: Connection) -> None:
    """What Kubeflow's command does, ``sh -ec SCRIPT SOURCE ARGUMENTS``, in this process.

    The run takes away what it leaves among temporary files, since it may be killed.
    """
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output.fileno(), stream.fileno())
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = environment["TMPDIR"]
    with suppress(OSError):  # where there is no /proc, ps and top show another name
        Path("/proc/self/comm").write_text(multiprocessing.current_process().name)
    first = command.index("--executor_input")
    source, arguments = command[first - 1], command[first:]
    path = Path(tempfile.tempdir, "ephemeral_component.py")
    path.write_text(source, encoding="utf-8")
    sys.argv = ["executor_main", "--component_module_path", str(path), *arguments]
    sys.orig_argv = [sys.executable, "-m", _EXECUTOR, *sys.argv[1:]]  # by which a stage can begin anew
    runpy.run_module(_EXECUTOR, run_name="__main__")


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
