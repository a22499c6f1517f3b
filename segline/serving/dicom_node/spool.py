"""The spool: series on their way through the node, each in the folder of what has been done with it.

``received`` (images come in) → ``predicting`` (complete) → ``outbox`` (answers to be sent) → gone; or
``set_aside``, with the reason beside the images. A series changes folders by one rename: whenever the node is
killed, it is in one of them.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from segline.common import atomic
from segline.common.locks import exclusive_at_once

RECEIVED, PREDICTING, OUTBOX, SET_ASIDE = "received", "predicting", "outbox", "set_aside"
_SENDER, _RELEASED, _TRIES, _REASON = "sender.json", "released", "tries", "reason.txt"
_DIGITS = 16
_LEAST_FREE_BYTES = 500_000_000
"""Of the disk: a full one would stop what is being predicted, too."""


def digest_of(*parts: str) -> str:
    """What a series or an image is called here: UIDs lead to a patient."""
    return sha256("\n".join(parts).encode()).hexdigest()[:_DIGITS]


@dataclass(frozen=True)
class Parcel:
    """A series that is somewhere in the spool."""

    folder: Path

    @property
    def name(self) -> str:
        """For the log."""
        return self.folder.name.partition("-")[0]

    @property
    def sender(self) -> str:
        """AE title of who sent it."""
        title: str = json.loads((self.folder / _SENDER).read_text(encoding="utf-8"))["sender"]
        return title

    @property
    def files(self) -> list[Path]:
        """Images, or answers."""
        return sorted(self.folder.glob("*.dcm"))

    @property
    def was_released(self) -> bool:
        """Whether the association that brought the last image ended as it should."""
        return (self.folder / _RELEASED).exists()

    def count_try(self) -> int:
        """How often it has been begun, this time included."""
        path = self.folder / _TRIES
        tries = 1 + (int(path.read_text(encoding="ascii") or 0) if path.exists() else 0)
        atomic.write_text(path, str(tries))
        return tries


class Spool:
    """The folder; one process at a time has it open."""

    def __init__(self, folder: Path, most_bytes: float) -> None:
        self.folder = folder
        self._most_bytes = most_bytes
        self._lock = threading.RLock()
        self._used_bytes = 0

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder, and clear away what a killed process was just writing.

        Raises:
            SeglineError: another process has it, or it cannot be written.
        """
        with exclusive_at_once(self.folder / "lock"):
            for name in (RECEIVED, PREDICTING, OUTBOX, SET_ASIDE):
                (self.folder / name).mkdir(exist_ok=True)
                for folder in (self.folder / name).iterdir():
                    if not (folder / _SENDER).exists():
                        shutil.rmtree(folder)
            for scratch in list(self.folder.rglob(f"{atomic.SCRATCH}*")):
                shutil.rmtree(scratch) if scratch.is_dir() else scratch.unlink()
            for parcel in self.parcels(OUTBOX):
                self._remove(self.folder / PREDICTING / parcel.folder.name)
            self._measure()
            yield

    def parcels(self, state: str) -> list[Parcel]:
        """Those in one state, the oldest first."""
        whole = (path for path in (self.folder / state).iterdir() if not path.name.startswith("."))
        folders = sorted(whole, key=lambda path: path.name.partition("-")[2])
        return [Parcel(path) for path in folders if (path / _SENDER).exists()]

    def has_room(self, size_bytes: int) -> bool:
        """Whether one more image may be taken."""
        free = shutil.disk_usage(self.folder).free
        return self._used_bytes + size_bytes <= self._most_bytes and free - size_bytes > _LEAST_FREE_BYTES

    def add(self, sender: str, series: str, instance: str, content: bytes) -> str:
        """Keep an image; the name of the series that it is of."""
        name = digest_of(sender, series)
        folder = self.folder / RECEIVED / name
        with self._lock:
            if not (folder / _SENDER).exists():
                atomic.write_text(folder / _SENDER, json.dumps({"sender": sender}))
            (folder / _RELEASED).unlink(missing_ok=True)
            with atomic.new_file(folder / f"{digest_of(instance)}.dcm") as scratch:
                scratch.write_bytes(content)
            self._used_bytes += len(content)
        return name

    def release(self, name: str) -> None:
        """The association that brought images of a series ended as it should."""
        with self._lock:
            if (folder := self.folder / RECEIVED / name).is_dir():
                (folder / _RELEASED).touch()

    def complete(self, name: str) -> Parcel:
        """A received series has all its images; what comes later is another one."""
        with self._lock:
            return self._moved(Parcel(self.folder / RECEIVED / name), PREDICTING)

    @contextmanager
    def answer(self, parcel: Parcel) -> Iterator[Path]:
        """A folder for the answers to a series, which goes to the outbox in place of its images."""
        target = self.folder / OUTBOX / parcel.folder.name
        with atomic.new_folder(target) as scratch:
            shutil.copyfile(parcel.folder / _SENDER, scratch / _SENDER)
            yield scratch
        self.remove(parcel)

    def is_whole(self, parcel: Parcel) -> bool:
        """Whether nothing but an answer is left of a series."""
        return not (self.folder / PREDICTING / parcel.folder.name).exists()

    def set_aside(self, parcel: Parcel, reason: str) -> None:
        """Keep a series for a person to look at, and why."""
        with self._lock:
            aside = self._moved(parcel, SET_ASIDE)
            atomic.write_text(aside.folder / _REASON, reason + "\n")

    def remove(self, parcel: Parcel) -> None:
        """Nothing is to be done with it any more."""
        with self._lock:
            self._remove(parcel.folder)
            self._measure()

    def _moved(self, parcel: Parcel, state: str) -> Parcel:
        target = self.folder / state / f"{parcel.name}-{time.time_ns():020}"
        return Parcel(parcel.folder.rename(target))

    def _remove(self, folder: Path) -> None:
        """The sender's file first: without it a folder that is half removed is no parcel any more."""
        (folder / _SENDER).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def _measure(self) -> None:
        """By ``os.walk``: at a folder that another thread takes away meanwhile ``Path.rglob`` fails."""
        files = (Path(folder, name) for folder, _, names in os.walk(self.folder) for name in names)
        self._used_bytes = sum(_size(file) for file in files if file.suffix == ".dcm")


def _size(path: Path) -> int:
    """0 of what was taken away meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
