"""Arrivals: images that others send by C-STORE, until their series is complete."""

import logging
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from segline.serving.dicom_node.peers import Peers
from segline.serving.dicom_node.spool import RECEIVED, Parcel, Spool

_SUCCESS, _NO_ROOM, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000
_IMAGES = (
    "1.2.840.10008.5.1.4.1.1.2",  # CT
    "1.2.840.10008.5.1.4.1.1.2.1",  # enhanced CT
    "1.2.840.10008.5.1.4.1.1.2.2",  # legacy converted enhanced CT
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.4.1",  # enhanced MR
    "1.2.840.10008.5.1.4.1.1.4.4",  # legacy converted enhanced MR
    "1.2.840.10008.5.1.4.1.1.128",  # PET
    "1.2.840.10008.5.1.4.1.1.128.1",  # legacy converted enhanced PET
    "1.2.840.10008.5.1.4.1.1.130",  # enhanced PET
)
"""Classes of what can be predicted; a mask that comes back is refused, so no answer goes round in circles."""
_SYNTAXES = (
    "1.2.840.10008.1.2.1",  # explicit little endian
    "1.2.840.10008.1.2",  # implicit little endian
    "1.2.840.10008.1.2.2",  # explicit big endian
    "1.2.840.10008.1.2.4.50",  # JPEG baseline
    "1.2.840.10008.1.2.4.51",  # JPEG extended
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first order
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.5",  # RLE
)
"""Deflated files are not read, since nothing says how large they become."""

_PARTING_S, _LOOK_EVERY_S = 10.0, 0.05

_log = logging.getLogger(__name__)


@dataclass
class _Coming:
    """What is known of a series that is being received; after a kill only its folder is."""

    since: float = field(default_factory=time.monotonic)
    """Of its last image, or the end of its last association."""
    associations: set[Any] = field(default_factory=set)
    expected: int | None = None
    """Images, where they say so."""

    @property
    def is_open(self) -> bool:
        return any(association.is_alive() for association in self.associations)


class Arrivals:
    """The side of the node that is called."""

    def __init__(self, spool: Spool, peers: Peers, quiet_s: float, broken_s: float) -> None:
        self._spool, self._peers = spool, peers
        self._quiet_s, self._broken_s = quiet_s, broken_s
        self._coming: dict[str, _Coming] = defaultdict(_Coming)
        self._lock = threading.RLock()

    def open(self, title: str, host: str, port: int) -> int:
        """Answer C-ECHO and C-STORE from now on; at which port.

        Raises:
            OSError: the port is taken.
        """
        from pynetdicom import AE, evt

        self._entity = AE(title)
        self._entity.add_supported_context("1.2.840.10008.1.1")  # C-ECHO
        for image in _IMAGES:
            self._entity.add_supported_context(image, list(_SYNTAXES))
        self._entity.require_calling_aet = list(self._peers.welcome)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_RELEASED, self._released)]
        server: Any = self._entity.start_server((host, port), block=False, evt_handlers=handlers)
        self._server = server
        return int(server.server_address[1])

    def close(self) -> None:
        """Take no new association, and give those that there are a while to end."""
        self._server.shutdown()
        until = time.monotonic() + _PARTING_S
        while self._entity.active_associations and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
        self._entity.shutdown()

    def completed(self) -> list[Parcel]:
        """Series that have become complete since; one that broke off is set aside."""
        with self._lock:
            return [parcel for found in self._spool.parcels(RECEIVED) if (parcel := self._judged(found))]

    def _judged(self, found: Parcel) -> Parcel | None:
        coming = self._coming[found.name]
        quiet_s = time.monotonic() - coming.since
        images = len(found.files)
        if coming.expected is not None and images >= coming.expected:
            pass
        elif coming.is_open or quiet_s < self._quiet_s:
            return None
        elif not found.was_released:
            if quiet_s >= self._broken_s:
                reason = f"its sender broke off after {images} images; send it again"
                self._spool.set_aside(found, reason)
                del self._coming[found.name]
                _log.warning("series %s is set aside: %s", found.name, reason)
            return None
        del self._coming[found.name]
        _log.info("series %s of %s: %d images", found.name, found.sender, images)
        return self._spool.complete(found.name)

    def _store(self, event: Any) -> int:
        sender = event.assoc.requestor.ae_title.strip()
        size = len(event.request.DataSet.getbuffer())
        if not self._spool.has_room(size):
            _log.warning("%s: an image is refused, the spool is full", sender)
            return _NO_ROOM
        try:
            series, instance, expected = _identity(event)
        except Exception:  # pydicom has no one class for what a damaged image brings about
            _log.warning("%s: an image is refused, it cannot be read", sender)
            return _NOT_UNDERSTOOD
        with self._lock:
            name = self._spool.add(sender, series, instance, event.encoded_dataset())
            coming = self._coming[name]
            coming.since, coming.expected = time.monotonic(), expected
            coming.associations.add(event.assoc)
        return _SUCCESS

    def _released(self, event: Any) -> None:
        with self._lock:
            for name, coming in self._coming.items():
                if event.assoc in coming.associations:
                    coming.associations.discard(event.assoc)
                    coming.since = time.monotonic()
                    self._spool.release(name)


def _identity(event: Any) -> tuple[str, str, int | None]:
    """The UIDs of an image's series and of itself, and how many images the series has, if told."""
    dataset = event.dataset
    expected = dataset.get("NumberOfSeriesRelatedInstances")
    series, instance = str(dataset.SeriesInstanceUID), str(event.request.AffectedSOPInstanceUID)
    if not series or not instance:
        raise ValueError("no UID")
    return series, instance, int(expected) if expected else None
