"""Ctrl-C and SIGTERM in a run here: the first ends all stages but the report, the second that too."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from segline.common.processes.unread import tell

LAST = "report"
"""The stage that runs however the others end."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EARLY = "segline: interrupted before the run began"
_AGAIN = "the report is being written, a second Ctrl-C leaves it out"


class Named(Protocol):
    """A stage, as far as it matters here."""

    @property
    def name(self) -> str:
        """Of the component."""

    @property
    def title(self) -> str:
        """For people."""


@dataclass
class Interruption:
    """The signals that have come to a run, and what is to end for them.

    They end stages, and Kubeflow goes on to the exit handler as if those had failed: nothing is raised in it.
    """

    begun: bool = False
    """Whether there is a run that has something to end; before, the process simply ends."""
    signals: list[int] = field(default_factory=list)
    _running: dict[object, tuple[Named, Callable[[], None]]] = field(default_factory=dict)

    @property
    def status(self) -> int | None:
        """The exit status that tells of the first signal: 130 or 143; ``None`` where none has come."""
        return 128 + self.signals[0] if self.signals else None

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Take the signals of this process for as long as the block lasts, but for those that it ignores."""
        taken = [each for each in _SIGNALS if signal.getsignal(each) != signal.SIG_IGN]
        handlers = {each: signal.signal(each, self._heed) for each in taken}
        try:
            yield
        finally:
            for each, handler in handlers.items():
                signal.signal(each, handler)

    def forbids(self, stage: Named) -> bool:
        """Whether a stage may neither begin nor go on."""
        return len(self.signals) > (1 if stage.name == LAST else 0)

    @contextmanager
    def watching(self, stage: Named, end: Callable[[], None]) -> Iterator[None]:
        """Call ``end`` once the stage that runs in the block may not go on; perhaps in a signal's handler."""
        key = object()
        self._running[key] = stage, end
        try:
            if self.forbids(stage):  # a signal came as it was started
                end()
            yield
        finally:
            del self._running[key]

    def _heed(self, number: int, _frame: object) -> None:
        if not self.begun:
            tell(_EARLY)
            os._exit(128 + number)
        self.signals.append(number)
        running = list(self._running.values())
        if len(self.signals) == 1:
            tell(_first_line([stage for stage, _ in running if self.forbids(stage)]))
        for stage, end in running:
            if self.forbids(stage):
                end()
        if len(self.signals) > 1:
            raise KeyboardInterrupt


def _first_line(ended: list[Named]) -> str:
    """What was interrupted, and how to go on."""
    names = ", ".join(sorted({stage.title for stage in ended}))
    what = f"{names} interrupted" if names else "interrupted"
    return f"segline: {what}; the same command goes on from what is in the store ({_AGAIN})"
