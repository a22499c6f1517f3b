"""Frames: one image each, with its place in the patient and the meaning of its numbers.

A file of one image says both at its top level; an enhanced one in functional groups, shared or a frame's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segline.common.errors import SeglineError
from segline.imaging.dicom.objects import ImageFile

if TYPE_CHECKING:
    from pydicom import Dataset

_GREY = ("MONOCHROME1", "MONOCHROME2")
"""The first is shown inverted; its numbers are what they are, such as HU."""
_PLACE = {
    "ImagePositionPatient": ("PlanePositionSequence", 3),
    "ImageOrientationPatient": ("PlaneOrientationSequence", 6),
    "PixelSpacing": ("PixelMeasuresSequence", 2),
}
"""Attribute: the functional group that has it, and how many numbers it is."""
_TRANSFORMATION = "PixelValueTransformationSequence"
_ROUNDING = 1e-3
"""Of the length of a direction, and the cosine between two."""


@dataclass(frozen=True)
class Frame:
    """One image of a series."""

    file: ImageFile
    number: int
    """In its file."""
    shape: tuple[int, int]
    """Columns and rows."""
    position_mm: np.ndarray
    """``(3,)`` LPS, of the first pixel's centre."""
    directions: np.ndarray
    """``(2, 3)`` LPS unit vectors, of growing column and of growing row."""
    spacing_mm: tuple[float, float]
    """Between columns, and between rows."""
    slope: float
    intercept: float
    unit: str
    """Of the numbers, such as ``HU``; empty where it is not told."""

    @property
    def name(self) -> str:
        """For messages."""
        return self.file.path.name + (f", frame {self.number + 1}" if self.number else "")

    @property
    def is_localizer(self) -> bool:
        """Whether it is there to plan others by."""
        return "LOCALIZER" in (self.file.dataset.get("ImageType") or [])

    @property
    def is_exact(self) -> bool:
        """Whether its values are whole numbers."""
        return self.slope == 1 and self.intercept == round(self.intercept)


def frames_of(file: ImageFile) -> Iterator[Frame]:
    """The frames of a file.

    Raises:
        SeglineError: a colour image, one with a table of values, or one that does not say where it lies.
    """
    dataset = file.dataset
    if int(dataset.get("SamplesPerPixel") or 1) > 1 or dataset.get("PhotometricInterpretation") not in _GREY:
        kind = dataset.get("PhotometricInterpretation", "unknown")
        raise SeglineError(f"{file.path}: a colour image ({kind}); one grey value a pixel is needed")
    if dataset.get("ModalityLUTSequence"):
        raise SeglineError(f"{file.path}: its values are in a table; export it with slope and intercept")
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    own = dataset.get("PerFrameFunctionalGroupsSequence")
    count = int(dataset.get("NumberOfFrames") or 1)
    if count > 1 and (own is None or len(own) != count):
        raise SeglineError(f"{file.path}: {count} frames that do not say where they lie; export slices")
    for number in range(count):
        yield _frame(file, number, [dataset] if own is None else [own[number], shared, dataset])


def _frame(file: ImageFile, number: int, sources: "list[Dataset | None]") -> Frame:
    position, directions, spacing = (_numbers(file, sources, name) for name in _PLACE)
    directions = directions.reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1)
    if np.abs(lengths - 1).max() > _ROUNDING or abs(directions[0] @ directions[1]) > _ROUNDING:
        raise SeglineError(f"{file.path}: ImageOrientationPatient is no two directions at right angles")
    if spacing.min() <= 0:
        raise SeglineError(f"{file.path}: PixelSpacing is {spacing[0]:g}x{spacing[1]:g} mm; export it again")
    values = _where(sources, _TRANSFORMATION, "RescaleSlope")
    slope, intercept = (float(_get(values, name, usual)) for name, usual in _RESCALING)
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise SeglineError(f"{file.path}: slope {slope:g} and intercept {intercept:g} give no values")
    return Frame(
        file=file,
        number=number,
        shape=(int(file.dataset.Columns), int(file.dataset.Rows)),
        position_mm=position,
        directions=directions / lengths[:, None],
        spacing_mm=(float(spacing[1]), float(spacing[0])),
        slope=slope,
        intercept=intercept,
        unit=str(_get(values, "RescaleType", "")),
    )


_RESCALING = (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))


def _numbers(file: ImageFile, sources: "list[Dataset | None]", name: str) -> np.ndarray:
    group, count = _PLACE[name]
    found = _get(_where(sources, group, name), name, None)
    if found is None:
        raise SeglineError(f"{file.path}: no {name}; it cannot be placed in the patient, export it with it")
    try:
        numbers = np.array([float(number) for number in found])
    except (TypeError, ValueError):
        numbers = np.array([])
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise SeglineError(f"{file.path}: {name} is {found}; {count} numbers are needed, export it again")
    return numbers


def _where(sources: "list[Dataset | None]", group: str, name: str) -> "Dataset | None":
    """Of the datasets and their groups, the first that has an attribute."""
    for source in sources:
        for place in (_first(source, group), source):
            if place is not None and name in place:
                return place
    return None


def _first(dataset: "Dataset | None", sequence: str) -> "Dataset | None":
    items = dataset.get(sequence) if dataset is not None else None
    return items[0] if items else None


def _get(dataset: "Dataset | None", name: str, usual: Any) -> Any:
    value = dataset.get(name) if dataset is not None else None
    return usual if value is None or value == "" else value
