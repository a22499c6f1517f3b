"""A case's volumes as files that a page can carry: whole where they are small, else cut, else coarser."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import nibabel as nib
import numpy as np
from isal import igzip

from segline.common.wording import by
from segline.imaging.geometry import Affine, bounding_box
from segline.report.pictures.overlays import AGREED, EXTRA, MISSED, SWAPPED, CaseVolumes

_AGREED, _MISSED, _EXTRA, _SWAPPED = 1, 2, 3, 4
ERRORS = (
    (_AGREED, "agreement", AGREED),
    (_MISSED, "missed", MISSED),
    (_EXTRA, "predicted, but not there", EXTRA),
    (_SWAPPED, "another label than the true one", SWAPPED),
)
"""Value, name and colour of what a map of errors tells apart; 0 is background in both."""
_MARGIN_MM = 30.0
_SMALLEST = 24
"""Voxels along an axis that is not made coarser."""
_GZIP_LEVEL = 2


@dataclass(frozen=True)
class Packed:
    """Files of one case, NIfTI and gzipped, all on one grid in RAS order.

    Attributes:
        image: as int16, with a scale where it is not of whole numbers.
        truth: class index.
        prediction: the same.
        errors: values of :data:`ERRORS`.
        note: what was left out; empty where nothing was.
    """

    image: bytes
    truth: bytes
    prediction: bytes
    errors: bytes
    note: str

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, (self.image, self.truth, self.prediction, self.errors)))


def packed(volumes: CaseVolumes, most_bytes: int) -> Packed:
    """A case in ``most_bytes``, cut to what surrounds its masks and made coarser as far as that needs."""
    found = None
    for part, note in _smaller_and_smaller(_Part.whole(volumes)):
        found = Packed(
            image=_nifti(_sixteen_bits(part.image), part.affine),
            truth=_nifti(part.truth, part.affine),
            prediction=_nifti(part.prediction, part.affine),
            errors=_nifti(_errors(part), part.affine),
            note=note,
        )
        if found.size <= most_bytes:
            break
    assert found is not None
    return found


@dataclass(frozen=True)
class _Part:
    """What is shown of a case."""

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    affine: Affine

    @classmethod
    def whole(cls, volumes: CaseVolumes) -> "_Part":
        affine = volumes.affine if volumes.affine is not None else np.diag([*volumes.spacing_mm, 1.0])
        return cls(volumes.image, volumes.truth, volumes.prediction, affine)

    @cached_property
    def spacing_mm(self) -> np.ndarray:
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def cut(self) -> "_Part":
        """The box of truth and prediction with a margin; all of it where both are empty."""
        either = (self.truth > 0) | (self.prediction > 0)
        if not either.any():
            return self
        margins = np.ceil(_MARGIN_MM / self.spacing_mm).astype(int)
        box = tuple(
            slice(max(0, span.start - margin), span.stop + margin)
            for span, margin in zip(bounding_box(either), margins, strict=True)
        )
        corner = np.eye(4)
        corner[:3, 3] = [span.start for span in box]
        image, truth, prediction = (array[box] for array in (self.image, self.truth, self.prediction))
        return _Part(image, truth, prediction, self.affine @ corner)

    def coarser(self) -> "_Part | None":
        """Half as many voxels along the finest axes: means of the image, every second voxel of the masks."""
        fine = self.spacing_mm < 1.5 * self.spacing_mm.min()
        steps = [2 if f and n >= 2 * _SMALLEST else 1 for f, n in zip(fine, self.image.shape, strict=True)]
        if steps == [1, 1, 1]:
            return None
        whole = tuple(slice(0, n - n % step) for n, step in zip(self.image.shape, steps, strict=True))
        every = tuple(slice(0, span.stop, step) for span, step in zip(whole, steps, strict=True))
        scale = np.diag([*steps, 1.0])
        scale[:3, 3] = (np.array(steps) - 1) / 2
        masks = self.truth[every], self.prediction[every]
        return _Part(_block_means(self.image[whole], steps), *masks, self.affine @ scale)


def _smaller_and_smaller(part: _Part) -> Iterator[tuple[_Part, str]]:
    yield part, ""
    cut = part.cut()
    words = [f"cut from {by(part.image.shape)} to {by(cut.image.shape)} voxels around the masks"]
    if cut.image.shape == part.image.shape:
        words = []
    yield cut, "; ".join(words)
    while (coarse := cut.coarser()) is not None:
        cut = coarse
        spacing = by(float(f"{mm:.3g}") for mm in cut.spacing_mm)
        yield cut, "; ".join([*words, f"made coarser, to {spacing} mm"])


def _block_means(image: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    split = [size for n, step in zip(image.shape, steps, strict=True) for size in (n // step, step)]
    means = image.reshape(split).mean(axis=(1, 3, 5), dtype=np.float32)
    return np.asarray(np.rint(means) if np.issubdtype(image.dtype, np.integer) else means)


def _sixteen_bits(image: np.ndarray) -> np.ndarray:
    """Whole numbers as they are; others as float32, which the file scales to 16 bits."""
    bounds = np.iinfo(np.int16)
    whole = np.issubdtype(image.dtype, np.integer) or bool((image == np.rint(image)).all())
    if whole and image.min() >= bounds.min and image.max() <= bounds.max:
        return np.asarray(image.astype(np.int16))
    return np.nan_to_num(image.astype(np.float32))


def _errors(part: _Part) -> np.ndarray:
    truth, prediction = part.truth, part.prediction
    found = np.zeros(truth.shape, np.uint8)
    found[(truth > 0) & (prediction == truth)] = _AGREED
    found[(truth > 0) & (prediction == 0)] = _MISSED
    found[(truth == 0) & (prediction > 0)] = _EXTRA
    found[(truth > 0) & (prediction > 0) & (prediction != truth)] = _SWAPPED
    return found


def _nifti(array: np.ndarray, affine: Affine) -> bytes:
    image = nib.Nifti1Image(np.asfortranarray(array), affine)
    image.set_data_dtype(np.uint8 if array.dtype == np.uint8 else np.int16)
    image.header.set_xyzt_units("mm")
    return bytes(igzip.compress(image.to_bytes(), _GZIP_LEVEL, mtime=0))
