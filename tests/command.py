"""Commands as a user types them, each in a process of its own.

Each is a fork of one that has imported what commands need, and so is whatever it forks from in its turn: how
long imports take is not what tests are about. Those of ``tests/docs`` type into a shell instead.
"""

import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from multiprocessing import forkserver, util
from pathlib import Path

from segline.common.processes.forks import forks

_IMPORTED_ONCE = f"{__package__}.imported_once"


def begin_to_import() -> None:
    """Start the process of which all forks in this one are, whoever asks for the first of them."""
    if forks(_IMPORTED_ONCE).get_start_method() == "forkserver":
        forkserver.ensure_running()


def segline(*arguments: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run ``segline`` to its end."""
    return python("-m", "segline.cli", *arguments, cwd=cwd)


def python(
    *arguments: object,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 300,
) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m MODULE ...`` or ``python -c CODE ...`` to its end."""
    return Python(*arguments, cwd=cwd, environment=environment).finish(timeout_s)


def left_by_its_reader(
    command: Sequence[str], lines: int = 0, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, of whose output no more than as many lines are read."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=cwd, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout and process.stderr
        out = "".join(process.stdout.readline() for _ in range(lines))
        process.stdout.close()
        err = process.stderr.read()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


class Python:
    """A ``python`` that has been started, at the head of a session of its own."""

    def __init__(
        self, *arguments: object, cwd: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._words = [str(argument) for argument in arguments]
        self._scratch = tempfile.TemporaryDirectory()
        self._printed = [Path(self._scratch.name, name) for name in ("out", "err")]
        given = self._words, dict(environment or os.environ), cwd or Path.cwd(), self._printed
        self._process = forks(_IMPORTED_ONCE).Process(target=_typed, args=given)
        self._process.start()

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def kill(self) -> "subprocess.CompletedProcess[str]":
        """End it at once, with whatever it started."""
        assert self._process.pid
        os.killpg(self._process.pid, signal.SIGKILL)
        return self.finish()

    def finish(self, timeout_s: float = 300) -> "subprocess.CompletedProcess[str]":
        """Wait for its end; kill it where that does not come."""
        self._process.join(timeout_s)
        self._process.kill()
        self._process.join()
        with self._scratch:
            out, err = (path.read_text() for path in self._printed)
        return subprocess.CompletedProcess(self._words, self._process.exitcode or 0, out, err)


def _typed(words: list[str], environment: dict[str, str], cwd: Path, printed: list[Path]) -> None:
    os.setsid()
    for stream, path in zip((sys.stdout, sys.stderr), printed, strict=True):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    os.chdir(cwd)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    how, what, *arguments = words
    sys.orig_argv, sys.argv = [sys.executable, *words], [how, *arguments]
    sys.modules.pop(what, None)  # run anew, as a fresh Python would
    util.spawnv_passfds = _forked
    forkserver.ensure_running()  # before there is anything that a fresh Python would not have
    if how == "-c":
        exec(what, {"__name__": "__main__"})
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)


def _forked(_python: bytes, command: Sequence[str], kept: Sequence[int]) -> int:
    """In place of :mod:`multiprocessing`'s start of a fresh Python: a fork, which then does the same."""
    pid = os.fork()
    if pid:
        return pid
    try:
        bounds = [2, *sorted(kept), os.sysconf("SC_OPEN_MAX")]
        for low, high in pairwise(bounds):
            os.closerange(low + 1, high)
        forkserver._forkserver.__init__()  # type: ignore[misc]  # its lock was held
        at = command.index("-c") + 1
        sys.argv = ["-c", *command[at + 1 :]]
        exec(command[at], {})
    finally:
        os._exit(1)
