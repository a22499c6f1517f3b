"""Images that wait to be asked about, by name: a viewer sends one once, and works on it for a while."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Kept:
    """One image.

    Attributes:
        folder: of it alone, removed with it.
        images: one file a channel, one with all, or a folder with a DICOM series.
    """

    folder: Path
    images: tuple[Path, ...]
    since: float = field(default_factory=time.time)
    used: float = field(default_factory=time.monotonic)

    @property
    def suffix(self) -> str:
        """Of its first file; empty of a series."""
        return "".join(self.images[0].suffixes)


class Images:
    """Images by name; one that is not used for a while, and the longest unused of too many, is removed."""

    def __init__(self, remove: Callable[[Path], None], keep_s: float, most: int) -> None:
        self._remove, self._keep_s, self._most = remove, keep_s, most
        self._kept: dict[str, Kept] = {}

    def add(self, kept: Kept, name: str = "") -> str:
        """Keep an image under a name, in place of another of that name; its name."""
        name = name or secrets.token_urlsafe(12)
        self.remove(name)
        self.tidy(self._most - 1)
        self._kept[name] = kept
        return name

    def get(self, name: str) -> Kept | None:
        """The image of a name, which was used now."""
        self.tidy()
        if kept := self._kept.get(name):
            kept.used = time.monotonic()
        return kept

    def remove(self, name: str) -> bool:
        """Remove an image; whether there was one."""
        kept = self._kept.pop(name, None)
        if kept:
            self._remove(kept.folder)
        return kept is not None

    @property
    def all(self) -> Mapping[str, Kept]:
        """By name, oldest first."""
        self.tidy()
        return dict(self._kept)

    def tidy(self, most: int | None = None) -> None:
        """Remove what was not used for a while, and the longest unused beyond ``most``."""
        now, most = time.monotonic(), self._most if most is None else most
        by_use = sorted(self._kept, key=lambda name: self._kept[name].used, reverse=True)
        for number, name in enumerate(by_use):
            if number >= most or now - self._kept[name].used > self._keep_s:
                self.remove(name)
