"""The spool: a folder for what was sent and what is answered, which does not outlive this process."""

import logging
import math
import shutil
import subprocess
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

from segline.common.errors import SeglineError
from segline.common.locks import exclusive_at_once

_PREFIX = "segline-spool-"
_LOCK = "lock"
_KEEPER = 'read -r _; rm -rf -- "$1"'
"""A shell that waits for the end of its input, which is this process's end, however it comes."""

_log = logging.getLogger(__name__)


class FullError(SeglineError):
    """As much as may be kept at once is kept."""


class Spool:
    """A new folder in ``parent``; nobody else may look into it.

    It goes with :meth:`remove`, with the end of this process, be it killed, and with the next start where
    the machine itself went down.
    """

    def __init__(self, parent: Path | None = None, most_bytes: float = math.inf) -> None:
        parent = parent or Path(tempfile.gettempdir())
        self._most_bytes = most_bytes
        self._kept: dict[Path, int] = {}
        self._lock = threading.Lock()
        try:
            _sweep(parent)
            self.folder = Path(tempfile.mkdtemp(dir=parent, prefix=_PREFIX))
        except OSError as error:
            raise SeglineError(
                f"{parent}: cannot be written ({error.strerror}); name another folder"
            ) from error
        self._held = ExitStack()
        self._held.enter_context(exclusive_at_once(self.folder / _LOCK))
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "sh", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def new_folder(self) -> Path:
        """An empty folder in it."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def take(self, folder: Path, size_bytes: int) -> None:
        """Have room for that many bytes more in one of its folders.

        Raises:
            FullError: there is none.
        """
        with self._lock:
            kept = sum(self._kept.values())
            if kept + size_bytes > self._most_bytes:
                raise FullError(f"the server keeps {kept / 1e9:.1f} GB already; ask again")
            self._kept[folder] = self._kept.get(folder, 0) + size_bytes

    def give_back(self, folder: Path) -> None:
        """Remove one of its folders."""
        shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            self._kept.pop(folder, None)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._held.close()
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait()


def _sweep(parent: Path) -> None:
    """Remove the folders of processes that are gone."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(SeglineError, OSError):
            if not folder.is_symlink() and (folder / _LOCK).is_file():
                with exclusive_at_once(folder / _LOCK):
                    shutil.rmtree(folder)
                    _log.warning("%s: was left by a server that is gone; removed", folder.name)
