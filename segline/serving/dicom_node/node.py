"""The node: listens, predicts one series at a time, and sends the answers, until it is told to stop."""

import logging
import re
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segline.common.errors import LostDeviceError, SeglineError, plain_error
from segline.serving.dicom_node.arrivals import Arrivals
from segline.serving.dicom_node.delivery import Delivery
from segline.serving.dicom_node.peers import Peers
from segline.serving.dicom_node.spool import PREDICTING, Parcel, Spool

_LOOK_EVERY_S = 0.1
_MOST_TRIES = 3
_UID = re.compile(r"\b\d+(\.\d+){4,}\b")

_log = logging.getLogger(__name__)

Answerer = Callable[[Path, Path], None]
"""From a folder with a series to its answers as files in another folder; a ``SeglineError`` says why not."""


@dataclass(frozen=True)
class Settings:
    """How the node is to behave."""

    title: str
    host: str
    port: int
    quiet_s: float
    """After the last image and the end of its association a series is complete."""
    broken_s: float
    """After so long a series whose association broke off is set aside."""


class Node:
    """All threads of it, and what they share: the spool."""

    def __init__(self, answer: Answerer, spool: Spool, peers: Peers, settings: Settings) -> None:
        self._answer, self._spool, self._settings = answer, spool, settings
        self._arrivals = Arrivals(spool, peers, settings.quiet_s, settings.broken_s)
        self._delivery = Delivery(spool, peers, settings.title)
        self._stopped = False
        self._failed: BaseException | None = None

    def stop(self) -> None:
        """Take nothing more, finish what is being predicted, and end; the rest waits in the spool.

        May be called in a signal's handler: no lock is taken, which the main thread might hold just then.
        """
        self._stopped = True

    def run(self) -> None:
        """Work until :meth:`stop`.

        Raises:
            SeglineError: the port or the spool is taken, or the GPU failed; what was begun is kept.
        """
        with self._spool.opened():
            arrivals = self._listening()
            workers = [
                threading.Thread(target=self._work, args=(step,), name=step.__name__)
                for step in (self._predict_next, self._delivery.send_all)
            ]
            for worker in workers:
                worker.start()
            try:
                while not self._stopped:
                    self._arrivals.completed()
                    time.sleep(_LOOK_EVERY_S)
            finally:
                self.stop()
                _log.info("stopping: nothing more is taken, what is under way is finished")
                arrivals.close()
                for worker in workers:
                    worker.join()
            self._delivery.send_all()
        if self._failed is not None:
            raise self._failed

    def _listening(self) -> Arrivals:
        title, host, port = self._settings.title, self._settings.host, self._settings.port
        try:
            port = self._arrivals.open(title, host, port)
        except OSError as error:
            raise SeglineError(f"{host}:{port}: cannot be listened at ({error.strerror})") from error
        _log.info("%s listens at %s:%d", title, host, port)
        return self._arrivals

    def _work(self, step: Callable[[], object]) -> None:
        """Again and again; a defect ends the node rather than a thread of it."""
        try:
            while not self._stopped:
                if not step():
                    time.sleep(_LOOK_EVERY_S)
        except BaseException as error:
            self._failed = error
            self.stop()

    def _predict_next(self) -> bool:
        """Answer the series that waits longest; whether there was one."""
        waiting = self._spool.parcels(PREDICTING)
        if not waiting:
            return False
        parcel, started = waiting[0], time.monotonic()
        if (tries := parcel.count_try()) > _MOST_TRIES:
            self._set_aside(parcel, f"the process was killed {tries - 1} times while it was predicted")
            return True
        try:
            with self._spool.answer(parcel) as folder:
                self._answer(parcel.folder, folder)
        except Exception as error:
            self._give_up(parcel, plain_error(error))
        else:
            _log.info("series %s: predicted in %.1f s", parcel.name, time.monotonic() - started)
        return True

    def _give_up(self, parcel: Parcel, error: BaseException) -> None:
        if isinstance(error, LostDeviceError):
            raise error
        if isinstance(error, SeglineError):
            self._set_aside(parcel, str(error))
        else:
            details = "".join(traceback.format_exception(error))
            self._set_aside(parcel, f"a defect: {type(error).__name__}", details)

    def _set_aside(self, parcel: Parcel, reason: str, details: str = "") -> None:
        self._spool.set_aside(parcel, details or reason)
        where, short = str(parcel.folder), parcel.name
        _log.warning("series %s is set aside: %s", short, _UID.sub("UID", reason.replace(where, short)))
