"""What was answered in a folder, by which model: known again after a kill, and told in a table."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from segline.common.digests import sha256_of_file, sha256_of_json

_SHORT = 12
_ML = "_ml"


class Row(BaseModel):
    """An image and its answer, or why there is none."""

    model_config = ConfigDict(frozen=True)

    image: str
    answer: str
    """The file, below the folder of the answers."""
    model: str
    """Digest of what answered."""
    stamp: str = ""
    """Digest of the image's :attr:`~segline.serving.folders.finding.Image.stamp`."""
    sha256: str = ""
    """Of the answer."""
    seconds: float = 0.0
    """Of reading, answering and writing."""
    figures: dict[str, Any] = {}
    remarks: tuple[str, ...] = ()
    """What looks wrong about the image."""
    trust: dict[str, Any] | None = None
    """See :attr:`~segline.serving.models.served.Reply.trust`."""
    warnings: tuple[str, ...] = ()
    """For people; see :attr:`~segline.serving.models.served.Reply.warnings`."""
    error: str = ""

    @property
    def for_machines(self) -> dict[str, Any]:
        """Ready for JSON."""
        if self.error:
            return {"image": self.image, "error": self.error}
        told = {"seconds": round(self.seconds, 3), "remarks": list(self.remarks), "trust": self.trust}
        return {"image": self.image, "answer": self.answer, **self.figures, **told}


class Standing(NamedTuple):
    """What is there already in the place of an answer."""

    is_done: bool
    is_of_others: bool
    """Made or changed by somebody else: nothing to write over."""


class Journal:
    """A file that grows by a line an answer, each written before the answer is put in its place."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = folder
        self._rows: dict[str, Row] = {}
        self._made: dict[str, set[str]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            with suppress(ValidationError):  # a kill or a full disk cut it short
                self._take(Row.model_validate_json(line))

    def add(self, row: Row) -> None:
        """Write down that an answer is ready to be put in its place."""
        with self._path.open("a+b") as stream:
            if stream.tell() and not _ends_a_line(self._path):
                stream.write(b"\n")
            stream.write(row.model_dump_json().encode() + b"\n")
        self._take(row)

    def standing(self, answer: str, model: str, stamp: str) -> Standing:
        """Of the answer to an image with that stamp by that model."""
        path = self._folder / answer
        if not path.exists():
            return Standing(False, path.is_symlink())
        if path.is_dir() or (found := sha256_of_file(path)) not in self._made.get(answer, ()):
            return Standing(False, True)
        row = self._rows[answer]
        return Standing((row.sha256, row.model, row.stamp) == (found, model, stamp), False)

    def rows(self) -> list[Row]:
        """The last of every answer that is there."""
        return [row for row in self._rows.values() if (self._folder / row.answer).exists()]

    def _take(self, row: Row) -> None:
        self._rows[row.answer] = row
        self._made.setdefault(row.answer, set()).add(row.sha256)


def stamp_of(stamp: list[list[object]]) -> str:
    """As a digest."""
    return sha256_of_json(stamp)


def as_csv(rows: Iterable[Row]) -> str:
    """A line an image, in the order of their names: its answer, figures such as ml of each label, seconds,
    whether it should be trusted, what looks wrong or why there is none, and the first digits of the model's
    digest.
    """
    lines = sorted(rows, key=lambda row: row.image)
    figures = [_flat(row.figures) for row in lines]
    names = list(dict.fromkeys(name for flat in figures for name in flat))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "answer", *names, "seconds", "trusted", "remarks", "error", "model"])
    for row, flat in zip(lines, figures, strict=True):
        trusted = row.trust["trusted"] if row.trust else ""
        last = [f"{row.seconds:.2f}", trusted, "; ".join(row.warnings), row.error, row.model[:_SHORT]]
        writer.writerow([row.image, row.answer, *(flat.get(name, "") for name in names), *last])
    return text.getvalue()


def _flat(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Those in a mapping by their own names, with the unit that the mapping's name ends with.

    >>> _flat({"labelled_voxels": 8, "volumes_ml": {"spleen": 0.2}})
    {'labelled_voxels': 8, 'spleen_ml': 0.2}
    """
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            unit = _ML if name.endswith(_ML) else ""
            flat.update({f"{inner}{unit}": figure for inner, figure in value.items()})
        else:
            flat[name] = value if isinstance(value, str | int | float) else json.dumps(value)
    return flat


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read(1) == b"\n"
