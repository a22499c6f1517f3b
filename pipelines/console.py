"""What a local run shows: the stages' own lines. All that the runner prints goes to the run's log."""

import io
import re
import threading
from collections import defaultdict
from pathlib import Path
from typing import TextIO

from segline.common.processes.unread import silence, tell

_STAGE_LINE = re.compile(r"\s*((?:\[[a-z0-9_]+\]|segline [a-z0-9_]+:) .*)")


class StageLines(io.TextIOBase):
    """A stream that keeps every line in ``log`` and passes on those that a stage wrote for people.

    Stages that run beside each other write to it from a thread each: their lines are kept apart. Where one of
    both takes no more, for a closed terminal or a full disk, it is told once, and the run goes on.
    """

    def __init__(self, log: Path, terminal: TextIO) -> None:
        super().__init__()
        self._log = log.open("a", encoding="utf-8")
        self._terminal = terminal
        self._begun: defaultdict[int, str] = defaultdict(str)
        self._one_at_a_time = threading.Lock()

    def write(self, text: str) -> int:
        """Take text in any pieces; whole lines are acted on."""
        with self._one_at_a_time:
            thread = threading.get_ident()
            *lines, self._begun[thread] = (self._begun[thread] + text).split("\n")
            for line in lines:
                _give(self._log, line)
                if match := _STAGE_LINE.fullmatch(line):
                    _give(self._terminal, match[1])
        return len(text)

    def close(self) -> None:
        """Close the log; the terminal stays open."""
        self._log.close()
        super().close()


def _give(stream: TextIO, line: str) -> None:
    try:
        stream.write(f"{line}\n")
        stream.flush()
    except OSError as error:
        silence(stream)
        tell(f"segline: {stream.name}: {error.strerror}; the run goes on, its lines are not written there")
