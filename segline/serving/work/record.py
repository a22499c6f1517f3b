"""The record of answers by which drift is seen: one line an answer, which says nothing of a patient."""

import logging
import threading
from pathlib import Path

from segline.common.errors import SeglineError
from segline.inference.familiarity.drift import Entry

_MOST_BYTES = 8 << 20
_ROTATED = ".1"
_log = logging.getLogger(__name__)


class Record:
    """A file of lines that grows to a size, is renamed then, and begun anew; one such past is kept.

    Raises:
        SeglineError: the file cannot be written.
    """

    def __init__(self, path: Path, most_bytes: int = _MOST_BYTES) -> None:
        self._path, self._most_bytes = path, most_bytes
        self._lock = threading.Lock()
        self._failed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("a").close()
        except OSError as error:
            raise SeglineError(f"{path}: cannot be written ({error.strerror}); name another file") from error

    def add(self, entry: Entry) -> None:
        """Write a line; where that fails it is told once, and no answer is held up."""
        try:
            with self._lock:
                if self._path.is_file() and self._path.stat().st_size > self._most_bytes:
                    self._path.replace(self._path.with_name(self._path.name + _ROTATED))
                with self._path.open("a", encoding="utf-8") as stream:
                    stream.write(entry.line())
            self._failed = False
        except OSError as error:
            if not self._failed:
                _log.warning("%s: cannot be written (%s); drift is not recorded", self._path, error.strerror)
            self._failed = True
