"""Delivery: answers go out by C-STORE, as often as it takes."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segline.serving.dicom_node.peers import Peer, Peers
from segline.serving.dicom_node.spool import OUTBOX, Parcel, Spool

if TYPE_CHECKING:
    from pynetdicom.association import Association

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0
_MOST_REFUSALS = 5
_ANSWERS = (
    "1.2.840.10008.5.1.4.1.1.66.4",  # segmentation
    "1.2.840.10008.5.1.4.1.1.88.34",  # comprehensive 3-D structured report
)
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_TIMEOUT_S = 30

_log = logging.getLogger(__name__)


class _AwayError(Exception):
    """Nobody is there, or there is no room: it is tried again until there is."""


class _RefusedError(Exception):
    """Somebody is there, and does not want it."""


@dataclass
class _Patience:
    """With one peer: whoever is away keeps no answer of another from its way."""

    pause_s: float = _FIRST_PAUSE_S
    until: float = 0.0

    def lose(self) -> float:
        """Wait before the next try; how long."""
        pause_s, self.until = self.pause_s, time.monotonic() + self.pause_s
        self.pause_s = min(2 * self.pause_s, _LONGEST_PAUSE_S)
        return pause_s


class Delivery:
    """The side of the node that calls."""

    def __init__(self, spool: Spool, peers: Peers, title: str) -> None:
        self._spool, self._peers, self._title = spool, peers, title
        self._patience: dict[str, _Patience] = {}
        self._refusals: dict[str, int] = {}
        self._untold: set[str] = set()

    def send_all(self) -> None:
        """Send what is due; what cannot be sent stays."""
        for parcel in self._spool.parcels(OUTBOX):
            if not self._spool.is_whole(parcel):
                continue
            peer = self._peers.destination(parcel.sender)
            if peer is None:
                self._tell_once(parcel, f"{parcel.sender} is no peer any more; add --peer to send its answer")
            elif time.monotonic() >= self._patience.setdefault(peer.title, _Patience()).until:
                self._send(parcel, peer)

    def _send(self, parcel: Parcel, peer: Peer) -> None:
        patience = self._patience[peer.title]
        try:
            self._deliver(parcel.files, peer)
        except _AwayError as error:
            pause_s = patience.lose()
            waiting = len(self._spool.parcels(OUTBOX))
            _log.warning("%s: %s; %d answers wait, next try in %.0f s", peer.title, error, waiting, pause_s)
        except _RefusedError as error:
            patience.lose()
            self._count_refusal(parcel, f"{peer.title} refuses the answer ({error})")
        else:
            self._patience[peer.title] = _Patience()
            self._spool.remove(parcel)
            _log.info("series %s: answer sent to %s", parcel.name, peer.title)

    def _count_refusal(self, parcel: Parcel, reason: str) -> None:
        times = self._refusals[parcel.folder.name] = self._refusals.get(parcel.folder.name, 0) + 1
        if times < _MOST_REFUSALS:
            _log.warning("series %s: %s, for the %d. time", parcel.name, reason, times)
            return
        self._spool.set_aside(parcel, reason)
        _log.warning("series %s is set aside: %s", parcel.name, reason)

    def _tell_once(self, parcel: Parcel, reason: str) -> None:
        if parcel.folder.name not in self._untold:
            self._untold.add(parcel.folder.name)
            _log.warning("series %s: %s", parcel.name, reason)

    def _deliver(self, files: list[Path], peer: Peer) -> None:
        association = self._associated(peer)
        try:
            for path in files:
                _store(association, path)
                path.unlink()
        finally:
            association.release()

    def _associated(self, peer: Peer) -> "Association":
        from pynetdicom import AE

        entity = AE(self._title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_S
        entity.connection_timeout = _TIMEOUT_S
        for sop_class in _ANSWERS:
            entity.add_requested_context(sop_class)
        association = entity.associate(peer.host, peer.port, ae_title=peer.title)
        if association.is_established:
            return association
        if association.is_rejected:
            raise _AwayError("refuses to be called; is this node's title known there?")
        raise _AwayError("does not answer")


def _store(association: "Association", path: Path) -> None:
    from pydicom import dcmread

    try:
        status = association.send_c_store(dcmread(path)).get("Status")
    except ValueError as error:  # no context for it was accepted
        raise _RefusedError("it takes none of this class") from error
    except RuntimeError as error:  # the association is gone
        raise _AwayError("broke off") from error
    if status is None:
        raise _AwayError("broke off")
    if status in _OUT_OF_RESOURCES:
        raise _AwayError("has no room")
    if status and not 0xB000 <= status < 0xC000:  # a warning is a success
        raise _RefusedError(f"status {status:04X}")
