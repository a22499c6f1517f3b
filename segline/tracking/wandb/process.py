"""The process in which W&B's client works: a line of JSON asks it for something, and it answers with a line.

It is started by its path and knows nothing of segline, so that it begins in a moment. Of the machine, the
code and its repository nothing is sent that the client can be told to keep to itself.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

LONGEST_FINISH_S = 8
"""For what is not sent yet when the training ends, or is killed."""
_SHUT_S = LONGEST_FINISH_S + 2.0
"""After which a client that does not come back is ended, once nobody asks any more."""
_KEPT_TO_ITSELF = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "finish_timeout": LONGEST_FINISH_S,
    "host": "segline",
    "init_timeout": 60,
    "program": "segline",
    "save_code": False,
    "silent": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class Client:
    """One run in W&B's client."""

    def __init__(self) -> None:
        self.run: Any = None
        self._defined: set[str] = set()
        self._before: dict[str, float] = {}

    def begin(self, *, settings: dict[str, Any], **told: Any) -> None:
        """Make the run, or take up the one of the same id; where it came to decides what is new."""
        import wandb

        self.run = wandb.init(settings=wandb.Settings(**_KEPT_TO_ITSELF, **settings), **told)
        self._before = {name: value for name, value in dict(self.run.summary).items() if _is_number(value)}

    def add(self, *, rows: list[dict[str, float]], counted_by: str) -> None:
        """Points, each with its step under the name ``counted_by``; none that an earlier process added."""
        for row in rows:
            if row[counted_by] <= self._before.get(counted_by, -1):
                continue
            for name in row.keys() - self._defined:
                self.run.define_metric(name, **({"step_metric": counted_by} if name != counted_by else {}))
            self._defined |= row.keys()
            self.run.log(row)

    def conclude(self, *, config: dict[str, Any], figures: dict[str, float]) -> None:
        """What the run came to."""
        self.run.config.update(config, allow_val_change=True)
        self.run.summary.update(figures)

    def finish(self, *, exit_code: int) -> None:
        """Wait for what is not sent yet, a while.

        Raises:
            RuntimeError: there is more, which lies in files.
        """
        run, self.run = self.run, None
        if run:
            kept = Path(run.dir).parent
            try:
                run.finish(exit_code=exit_code)
            except Exception as error:
                waited = f"not all could be sent within {LONGEST_FINISH_S} s"
                raise RuntimeError(f"{waited}; later, wandb sync {kept}") from error


def main() -> None:
    """Answer until nobody asks any more; a run that was not finished by then failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tempfile.tempdir = scratch = tempfile.mkdtemp(prefix="wandb-")  # folders that it would not clear away
    os.environ |= {"WANDB_ERROR_REPORTING": "false", "TMPDIR": scratch}
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    client, asked = Client(), SimpleQueue[str | None]()
    threading.Thread(target=_read, args=(asked, scratch), daemon=True).start()
    _answer_all(client, iter(asked.get, None), answers)
    try:
        client.finish(exit_code=1)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(0)  # and none of what the client wants to do at the end


def _read(asked: "SimpleQueue[str | None]", scratch: str) -> None:
    """In a thread, so that the end is heard of while the client waits for its server."""
    for line in sys.stdin:
        asked.put(line)
    asked.put(None)
    _end_within(_SHUT_S, scratch)


def _answer_all(client: Client, lines: Iterable[str], answers: IO[str]) -> None:
    for line in lines:
        asked = json.loads(line)
        try:
            getattr(client, asked.pop("do"))(**asked)
            answer = ""
        except BaseException as error:  # the client raises anything, and exits
            answer = " ".join(str(error).split()) or type(error).__name__
        try:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
        except BrokenPipeError:
            return


def _end_within(seconds: float, scratch: str) -> None:
    """Kill this process, and the client's own, if they are still there by then."""

    def end() -> None:
        shutil.rmtree(scratch, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


if __name__ == "__main__":
    main()
