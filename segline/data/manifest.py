"""A Decathlon folder: what its dataset.json declares, and the proof that its files agree with it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from segline.common.digests import sha256_of_file, sha256_of_json
from segline.common.documents import first_fault, read_sealed, write_sealed
from segline.common.errors import SeglineError
from segline.imaging.files import read_volume
from segline.imaging.geometry import Shape
from segline.imaging.volume import Volume


class FileEntry(BaseModel, frozen=True):
    """A file of the data set."""

    path: str
    """Relative to the data set's root, with ``/``."""
    sha256: str


class CaseEntry(BaseModel, frozen=True):
    """One labelled case: its files and what verification found in them."""

    name: str
    images: tuple[FileEntry, ...]
    """One 3-D or 4-D file, or one 3-D file a channel."""
    label: FileEntry | None
    """A label map, where that is what is to be predicted."""
    value: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """A number, where it is that; told in ``dataset.json`` itself."""
    shape: Shape
    spacing_mm: tuple[float, float, float]
    orientation: str
    label_voxels: dict[int, int]
    """Voxels of every declared label value, the background 0 among them; none without a label map."""
    remarks: tuple[str, ...] = Field(default=(), exclude_if=lambda remarks: not remarks)
    """What is odd about the image files, and how it was decided."""

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """All that there are."""
        return self.images if self.label is None else (*self.images, self.label)

    @property
    def label_map(self) -> FileEntry:
        """The label map's file.

        Raises:
            SeglineError: there is a value in its place.
        """
        if self.label is None:
            raise SeglineError(f"{self.name}: has a value in place of a label map")
        return self.label

    @property
    def digest(self) -> str:
        """SHA-256 over the contents of the files, and the value; names and places do not count."""
        return content_digest(self.images, self.label, self.value)

    @property
    def short_digest(self) -> str:
        """The first 12 digits of :attr:`digest`: what the case is called where its name may not be known."""
        return self.digest[:12]


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """A verified data set."""

    name: str
    licence: str
    modalities: tuple[str, ...]
    """One name a channel."""
    labels: dict[int, str]
    """Label value to name, the background 0 among them."""
    ignore: int | None = Field(default=None, exclude_if=lambda value: value is None)
    """Label value of voxels of which nothing is known; none of ``labels``."""
    twins: tuple[tuple[str, ...], ...] = Field(default=(), exclude_if=lambda twins: not twins)
    """Groups of cases whose images are the same, voxel by voxel."""
    root: str
    """Absolute path of the Decathlon folder; or the URI of the depot that has its files by content."""
    cases: tuple[CaseEntry, ...]
    """Sorted by name."""

    @property
    def digest(self) -> str:
        """SHA-256 over everything but the place of the folder."""
        return sha256_of_json(self.model_dump(mode="json", exclude={"root"}))

    @property
    def pseudonyms(self) -> dict[str, str]:
        """Name of each case to its short content digest, numbered where cases have the same content."""
        pseudonyms: dict[str, str] = {}
        seen = Counter[str]()
        for case in self.cases:
            seen[case.short_digest] += 1
            number = seen[case.short_digest]
            pseudonyms[case.name] = case.short_digest + (f"-{number}" if number > 1 else "")
        return pseudonyms

    @property
    def values(self) -> dict[str, float]:
        """What is to be predicted of each case where it is a number; none where it is a label map."""
        return {case.name: case.value for case in self.cases if case.value is not None}

    @property
    def remarks(self) -> list[str]:
        """What is odd about the data, though it may be learned from, in words."""
        same = [
            f"{' and '.join(group)} are one image, and stay on one side of every split"
            for group in self.twins
        ]
        return [*same, *(remark for case in self.cases for remark in case.remarks)]

    def case(self, name: str) -> CaseEntry:
        """The case called ``name``.

        Raises:
            SeglineError: there is none.
        """
        for case in self.cases:
            if case.name == name:
                return case
        raise self._unknown(name)

    def named(self, names: Sequence[str]) -> list[CaseEntry]:
        """The cases called so, in that order.

        Raises:
            SeglineError: one of them is not there.
        """
        there = {case.name: case for case in self.cases}
        for name in names:
            if name not in there:
                raise self._unknown(name)
        return [there[name] for name in names]

    def _unknown(self, name: str) -> SeglineError:
        told = f"{name}: no such case in data set {self.name}, which has {len(self.cases)}"
        return SeglineError(told)

    def image(self, case: CaseEntry) -> Volume:
        """The channels of ``case``, stacked: ``(C, X, Y, Z)``.

        Raises:
            SeglineError: a file cannot be read, or was changed since it was verified.
        """
        return Volume.stack([self._volume(file) for file in case.images])

    def label(self, case: CaseEntry) -> Volume:
        """The label map of ``case``: ``(1, X, Y, Z)``, uint8.

        Raises:
            SeglineError: it has none, or the file cannot be read, or was changed since it was verified.
        """
        volume = self._volume(case.label_map)
        return volume.with_array(np.rint(volume.array).astype(np.uint8))

    def _volume(self, file: FileEntry) -> Volume:
        path = Path(self.root, file.path)
        volume = read_volume(path, file.path)
        if sha256_of_file(path) != file.sha256:
            raise SeglineError(f"{file.path}: changed since the data were verified; verify them again")
        return volume

    def labelled(self, case: CaseEntry) -> np.ndarray:
        """Where ``case`` has a label: ``(X, Y, Z)`` bool, without the background and what is ignored.

        Raises:
            SeglineError: as :meth:`label`.
        """
        return self.is_labelled(self.label(case).array[0])

    def is_labelled(self, values: np.ndarray) -> np.ndarray:
        """Which label values are neither the background nor ignored."""
        labelled = values > 0
        return labelled if self.ignore is None else labelled & (values != self.ignore)

    def write(self, path: Path) -> None:
        """Write as JSON, with the digest, atomically."""
        write_sealed(path, self)

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read what :meth:`write` wrote.

        Raises:
            SeglineError: no such file, not a manifest, or its digest does not fit its content.
        """

        def parse(values: dict[str, Any]) -> Manifest:
            try:
                return cls.model_validate(values)
            except ValidationError as error:
                problem = f"{path}: not a data set manifest, {first_fault(error)}; verify the data again"
                raise SeglineError(problem) from error

        return read_sealed(path, parse, "verify the data again")


def content_digest(images: tuple[FileEntry, ...], label: FileEntry | None, value: float | None) -> str:
    target = label.sha256 if label else value
    return sha256_of_json({"images": [file.sha256 for file in images], "label": target})
