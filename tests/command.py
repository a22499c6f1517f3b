"""The ``segline`` command as a user types it, in a process of its own.

Each is a fork of one that has imported what commands need: how long that takes is not what they test.
"""

import os
import subprocess
import sys
from multiprocessing import forkserver
from pathlib import Path
from tempfile import TemporaryDirectory

from segline.common.processes import forks
from segline.stages import MODULES

_STAGES = [f"segline.stages.{module}" for module in MODULES]
_IMPORTED_ONCE = ["segline.networks.lean_monai", *_STAGES, "segline.export.onnx", "segline.cli.main"]
_PATIENCE_S = 300


def begin_to_import() -> None:
    """Start the process of which all forks in this one are, whoever asks for the first of them."""
    if forks(*_IMPORTED_ONCE).get_start_method() == "forkserver":
        forkserver.ensure_running()


def segline(*arguments: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run it to its end."""
    words = [str(argument) for argument in arguments]
    context = forks(*_IMPORTED_ONCE)
    with TemporaryDirectory() as scratch:
        printed = [Path(scratch, name) for name in ("out", "err")]
        process = context.Process(target=_typed, args=(words, dict(os.environ), cwd or Path.cwd(), printed))
        process.start()
        process.join(_PATIENCE_S)
        process.kill()
        process.join()
        out, err = (path.read_text() for path in printed)
    return subprocess.CompletedProcess(["segline", *words], process.exitcode or 0, out, err)


def _typed(words: list[str], environment: dict[str, str], cwd: Path, printed: list[Path]) -> None:
    for stream, path in zip((sys.stdout, sys.stderr), printed, strict=True):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["segline", *words]
    from segline.cli.__main__ import start

    sys.exit(start())
