"""How long work tells its caller how far it is."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

Progress = Callable[[float, str], None]
"""Called with the share done, 0 to 1, and a few words."""

_LINE_SECONDS = 5.0


def silent(done: float, message: str) -> None:
    """Tell nobody."""


class ConsoleProgress:
    """A bar on a terminal; elsewhere, as in a pod's log, a plain line every few seconds."""

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self.name = name
        self.stream = stream or sys.stdout
        self._last = float("-inf")

    def __call__(self, done: float, message: str) -> None:
        """Show ``done``, 0 to 1, and ``message``; on a terminal a long line is cut, not wrapped."""
        if self.stream.isatty():
            filled = round(24 * done)
            bar = "█" * filled + "·" * (24 - filled)
            self.stream.write(
                f"\r\x1b[K\x1b[?7l{self.name} {bar} {done:4.0%} {message}\x1b[?7h"
                + ("\n" if done >= 1 else "")
            )
            self.stream.flush()
        elif done >= 1 or time.monotonic() - self._last > _LINE_SECONDS:
            self._last = time.monotonic()
            self.stream.write(f"{self.name} {done:4.0%} {message}\n")
            self.stream.flush()
