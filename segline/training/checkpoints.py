"""Checkpoints in a depot: a training that a machine began continues on another one."""

import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from segline.common.errors import SeglineError
from segline.networks.torch_files import require_whole
from segline.storage.depot import Depot

_log = logging.getLogger(__name__)


class CheckpointKeeper:
    """Sends a training's checkpoint to the depot after each save, without holding up the training.

    One is sent at a time; those saved meanwhile are skipped, since the next one holds all of them. What
    cannot be sent is logged: the training goes on, and would continue elsewhere from an older one. So is one
    that was damaged where it lay: the training goes on from the depot's, or begins anew.

    Args:
        depot: where checkpoints are kept.
        key: of the training.

    Raises:
        SeglineError: the one in the depot cannot be fetched.
    """

    def __init__(self, depot: Depot, key: str) -> None:
        self._depot, self._key = depot, f"checkpoints/{key}.pt"
        self._pool = ThreadPoolExecutor(1)
        self._sending: Future[None] | None = None
        self.path = self._brought()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)

    def saved(self) -> None:
        """Tell that there is a new checkpoint at :attr:`path`."""
        if self._depot.is_remote and (self._sending is None or self._sending.done()):
            # The file is replaced by the next save: a second name holds on to this one.
            snapshot = self.path.with_name(f"{self.path.name}.sending")
            snapshot.unlink(missing_ok=True)
            os.link(self.path, snapshot)
            self._sending = self._pool.submit(self._send, snapshot)

    def forget(self) -> None:
        """Remove the checkpoint, here and in the depot."""
        self._pool.shutdown(wait=True)
        self._depot.forget_file(self._key)

    def _brought(self) -> Path:
        """The newer of the depot's and the one here, which may be of a training that went on elsewhere."""
        path = self._depot.path(self._key)
        stored = self._depot.store.stat(self._key) if self._depot.is_remote else None
        kept = path.is_file() and (not stored or path.stat().st_mtime > stored.modified.timestamp())
        if kept and _is_whole(path):
            return path
        if stored:
            self._depot.store.get_file(self._key, path)
            _is_whole(path)
        return path

    def _send(self, snapshot: Path) -> None:
        try:
            self._depot.store.put_file(snapshot, self._key)
        except SeglineError as error:
            _log.warning("checkpoint not stored, the training goes on: %s", error)
        finally:
            snapshot.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    """Whether a checkpoint is as it was written; one that is not is told, and removed."""
    try:
        require_whole(path)
    except ValueError as error:
        _log.warning("%s: not used, the checkpoint is damaged (%s); an older one is, or none", path, error)
        path.unlink()
        return False
    return True
