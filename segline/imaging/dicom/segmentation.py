"""DICOM-SEG: a mask as an object of its own that refers to the images it was made of; by highdicom."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segline import __version__
from segline.common import atomic
from segline.common.errors import SeglineError
from segline.common.limits import require_fits
from segline.common.wording import by
from segline.imaging.dicom.algorithm import MANUFACTURER, Algorithm
from segline.imaging.dicom.codes import Code, meaning_of
from segline.imaging.dicom.sources import Source, building
from segline.imaging.volume import Volume

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom import Dataset

_SERIES_NUMBER = 900
"""Behind those of the scanner."""
_LONGEST_LABEL = 64
_LABEL_VALUES = 256
"""That a uint8 label map can have."""


def segmentation(mask: Volume, source: Source, labels: Mapping[int, str], algorithm: Algorithm) -> "Dataset":
    """A mask as DICOM-SEG, each slice referring to the image that it lies on.

    Args:
        mask: on the grid of ``source``: ``(1, X, Y, Z)`` label values, for a binary object; or
            ``(K, X, Y, Z)`` float32, how probable each of ``labels`` is, 0 to 1, for a fractional one.
        labels: value to name, the background left out; each is a segment, in this order, found or not.
        algorithm: what made the mask.

    Raises:
        SeglineError: the mask is on another grid, or no object can refer to the series.
    """
    _require_same_grid(mask, source)
    fractional = mask.array.dtype.kind == "f"
    kind = "FRACTIONAL" if fractional else "BINARY"
    with building(source.where):
        from highdicom.seg import Segmentation

        made = Segmentation(
            source_images=source.images,
            pixel_array=_shares(mask, source) if fractional else _numbers(mask, source, labels),
            segmentation_type=kind,
            segment_descriptions=[
                _description(number, name, algorithm) for number, name in enumerate(labels.values(), 1)
            ],
            series_number=_SERIES_NUMBER,
            content_label="SEGMENTATION",
            content_description=algorithm.name,
            **identity(source, algorithm, kind),
        )
    source.sign(made)
    made.SeriesDescription = algorithm.name
    return made


def segmentation_bytes(mask: Volume, path: Path, labels: Mapping[int, str], algorithm: Algorithm) -> bytes:
    """:func:`segmentation` as a file's bytes; ``path`` is the series' folder, or its file of many frames."""
    return file_bytes(segmentation(mask, Source.at(path), labels, algorithm))


def file_bytes(made: "Dataset") -> bytes:
    """A DICOM file."""
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def write_object(path: Path, made: "Dataset") -> None:
    """A DICOM file, written atomically."""
    with atomic.new_file(path) as scratch:
        scratch.write_bytes(file_bytes(made))


def identity(source: Source, algorithm: Algorithm, what: str) -> dict[str, Any]:
    """The arguments by which highdicom tells an object from others; ``what`` says which one it is."""
    of = source.instances
    return {
        "series_instance_uid": algorithm.uid(of, f"series of {what}"),
        "sop_instance_uid": algorithm.uid(of, what),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": algorithm.name,
        "software_versions": __version__,
        "device_serial_number": algorithm.version[:_LONGEST_LABEL],
    }


def coded(code: Code) -> Any:
    """A code as highdicom has it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


def _require_same_grid(mask: Volume, source: Source) -> None:
    columns, rows = source.stack.frames[0].shape
    shape = (columns, rows, len(source.stack.frames))
    if mask.grid.shape != shape:
        raise SeglineError(
            f"{source.where}: a mask of {by(mask.grid.shape)} for a series of {by(shape)}; predict that one"
        )


def _numbers(mask: Volume, source: Source, labels: Mapping[int, str]) -> np.ndarray:
    """``(Z, Y, X)`` numbers of segments, 0 for none, in the order of the source's images."""
    lookup = np.zeros(_LABEL_VALUES, np.uint8)
    lookup[list(labels)] = np.arange(1, len(labels) + 1)
    return np.ascontiguousarray(lookup[mask.array[0].T][source.order])


def _shares(mask: Volume, source: Source) -> np.ndarray:
    """``(Z, Y, X, K)`` float32, in the order of the source's images."""
    require_fits(2.0 * mask.array.nbytes, f"{source.where}: probabilities of {by(mask.array.shape)}")
    return np.ascontiguousarray(np.moveaxis(mask.array, 0, -1).transpose(2, 1, 0, 3)[source.order])


def _description(number: int, name: str, algorithm: Algorithm) -> "SegmentDescription":
    from highdicom.seg import SegmentDescription

    meaning = meaning_of(name, algorithm.task)
    kind = coded(meaning.type)
    if meaning.modifiers:
        kind.SegmentedPropertyTypeModifierCodeSequence = [coded(code) for code in meaning.modifiers]
    return SegmentDescription(
        segment_number=number,
        segment_label=name[:_LONGEST_LABEL],
        segmented_property_category=coded(meaning.category),
        segmented_property_type=kind,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm.identification(),
        anatomic_regions=[coded(meaning.region)] if meaning.region else None,
    )
