"""What a local run shows: the stages' own lines. All that the runner prints goes to the run's log."""

import io
import re
import threading
from collections import defaultdict
from pathlib import Path
from typing import TextIO

_STAGE_LINE = re.compile(r"\s*((?:\[[a-z0-9_]+\]|segline [a-z0-9_]+:) .*)")


class StageLines(io.TextIOBase):
    """A stream that keeps every line in ``log`` and passes on those that a stage wrote for people.

    Stages that run beside each other write to it from a thread each: their lines are kept apart.
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
                self._log.write(line + "\n")
                if match := _STAGE_LINE.fullmatch(line):
                    self._terminal.write(match[1] + "\n")
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Flush both."""
        if not self._log.closed:
            self._log.flush()
        self._terminal.flush()

    def close(self) -> None:
        """Close the log; the terminal stays open."""
        self._log.close()
        super().close()
