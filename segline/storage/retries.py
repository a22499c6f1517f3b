"""Patience with a server that fails: ever longer pauses between tries, up to a limit."""

import logging
import random
import time
from collections.abc import Mapping

from segline.common.errors import SeglineError

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 8.0
_TELL_FROM_S = 2.0

_log = logging.getLogger(__name__)


def seconds_of(environment: Mapping[str, str], name: str, default: float) -> float:
    """How long to be patient, by a variable.

    Raises:
        SeglineError: it is not a number.
    """
    text = environment.get(name)
    try:
        return float(text) if text else default
    except ValueError:
        raise SeglineError(f"{name}={text}: give a number of seconds") from None


class Patience:
    """How long one piece of work goes on trying.

    Pauses double from 0.2 s to 8 s, each shortened at random by up to a half so that workers which failed
    together do not come back together. Pauses of 2 s and more are logged.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.renew()

    def renew(self) -> None:
        """Start afresh, because the work got on."""
        self._pause_s = _FIRST_PAUSE_S
        self._until: float | None = None

    def wait(self, error: Exception, what: str) -> None:
        """Pause before the next try of ``what``, or raise ``error`` where the patience is over."""
        now = time.monotonic()
        self._until = self._until or now + self.limit_s
        if now >= self._until:
            raise error
        pause_s = min(self._pause_s * random.uniform(0.5, 1), self._until - now)
        if self._pause_s >= _TELL_FROM_S:
            _log.warning("%s: %s; trying again for %.0f s", what, type(error).__name__, self._until - now)
        time.sleep(pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
