"""Portraits: what is kept of a case's voxels, enough to recognise the case and to tell an odd one."""

import hashlib
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from segline.common import atomic
from segline.data.fingerprint import PERCENTILES
from segline.data.manifest import CaseEntry, Manifest
from segline.imaging.geometry import Reorientation
from segline.imaging.resampling import block_means

SAME_LIKENESS = 0.97
"""Likeness from which two images count as one. Measured on 208 hippocampus MR of as many patients: 0.871 at
most between two of them; copies with noise of 5 % of the standard deviation: 0.9999 at least. Four abdominal
CT: 0.761 at most between two, 0.995 at least after the loss of a slice."""
SAME_SLICE = 0.998
"""The same of single slices. Neighbours in one patient are alike: 5 % of MedNIST's abdomens have another at
0.99 or more, none at 0.998; copies with noise of 5 % of the standard deviation: 0.9996 at least."""

_EDGE = 16
_VERSION = 1
_VOXELS_COUNTED = 200_000

Percentiles = tuple[float, float, float]


class Portrait(BaseModel):
    """A case seen in RAS axes, whatever its files' order and compression."""

    model_config = ConfigDict(frozen=True)

    voxels_sha256: str
    """Of the image's shape and float32 values."""
    thumbnail: tuple[float, ...]
    """``(C, 16, 16, 16)``: block means, less their mean, of norm 1; all 0 for an image of one value."""
    image: tuple[Percentiles, ...]
    """Per channel: the 0.5th, 50th and 99.5th percentile of all voxels, in the file's unit."""
    foreground: tuple[Percentiles, ...] | None
    """The same of the labelled voxels; ``None`` where there are none."""

    @classmethod
    def of(cls, manifest: Manifest, case: CaseEntry) -> "Portrait":
        """Read a case's files.

        Raises:
            SeglineError: a file cannot be read.
        """
        image = manifest.image(case)
        turn = Reorientation.between(image.grid.orientation, "RAS")
        array = np.ascontiguousarray(turn.apply(image.array), dtype=np.float32)
        labelled = np.zeros(array.shape[1:], bool)
        if case.label:
            labelled = turn.apply(manifest.labelled(case)[None])[0]
        digest = hashlib.sha256(str(array.shape).encode())
        digest.update(array.data)
        return cls(
            voxels_sha256=digest.hexdigest(),
            thumbnail=_thumbnail(array),
            image=_percentiles(array.reshape(len(array), -1)),
            foreground=_percentiles(array[:, labelled]) if labelled.any() else None,
        )

    @classmethod
    def recorded(cls, manifest: Manifest, case: CaseEntry, records: Path) -> "Portrait":
        """The same, kept by the case's content in folder ``records``: the next time nothing is decoded."""
        path = records / _record(case)
        if path.is_file():
            try:
                return cls.model_validate_json(path.read_bytes())
            except ValueError:
                path.unlink(missing_ok=True)
        portrait = cls.of(manifest, case)
        atomic.write_text(path, portrait.model_dump_json())
        return portrait

    def likeness(self, other: "Portrait") -> float:
        """Correlation of the thumbnails: 1 for an image and itself, whatever its scale."""
        if len(self.thumbnail) != len(other.thumbnail):
            return 0.0
        return float(np.dot(self.thumbnail, other.thumbnail))


def not_portrayed(manifest: Manifest, records: Path) -> list[str]:
    """Names of the cases whose files :meth:`Portrait.recorded` would have to read."""
    return [case.name for case in manifest.cases if not (records / _record(case)).is_file()]


def _record(case: CaseEntry) -> str:
    return f"{_VERSION}-{case.digest}.json"


def _thumbnail(array: np.ndarray) -> tuple[float, ...]:
    means = block_means(array, (_EDGE, _EDGE, _EDGE)).astype(np.float64).ravel()
    centred = means - means.mean()
    norm = float(np.linalg.norm(centred))
    return tuple(round(value, 7) for value in (centred / norm).tolist()) if norm > 0 else (0.0,) * len(means)


def _percentiles(voxels: np.ndarray) -> tuple[Percentiles, ...]:
    """Of ``(C, n)``, from evenly spread voxels."""
    step = max(1, voxels.shape[1] // _VOXELS_COUNTED)
    percentiles = np.percentile(voxels[:, ::step], PERCENTILES, axis=1)
    return tuple((float(a), float(b), float(c)) for a, b, c in percentiles.T)
