"""Source images: what an object that is made of a series says of it.

Of each image only what is needed is handed on, and nothing of the patient: neither a warning nor an error of
the library that makes the object can then tell it. It is filled in at the end.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segline.common.errors import SeglineError, imports_of
from segline.imaging.dicom.algorithm import uid_of
from segline.imaging.dicom.objects import has_magic
from segline.imaging.dicom.series import stack_at
from segline.imaging.dicom.stack import Stack

if TYPE_CHECKING:
    from pydicom import Dataset

_OF_STUDY = (
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_OF_PATIENT = (0x0010, 0x0012)
"""Groups: the patient, and the trial that the patient is in."""
_OF_FILE = {"SOPClassUID": "MediaStorageSOPClassUID", "SOPInstanceUID": "MediaStorageSOPInstanceUID"}
"""What an image is, and the same in its file's head, where some who take names away leave it."""
_OF_SERIES = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", *_OF_STUDY)
"""What every object has, if only without a value."""
_UTF8 = "ISO_IR 192"


@dataclass(frozen=True)
class Source:
    """The series that an answer is about, in the order of its volume's slices."""

    stack: Stack
    where: Path

    @classmethod
    def at(cls, path: Path) -> "Source":
        """The series in a folder, or the file of many frames.

        Raises:
            SeglineError: highdicom is not installed, or it is no readable series, or one that no object can
                refer to.
        """
        with imports_of("dicom", "to write DICOM-SEG and DICOM-SR"):
            import highdicom  # noqa: F401
        if not path.is_dir() and not _is_dicom(path):
            raise SeglineError(f"{path}: no DICOM series; a DICOM-SEG refers to one, write .nii.gz instead")
        source = cls(stack_at(path), path)
        for frame in source.stack.frames:
            for name in _OF_FILE:
                if not _of_file(frame.file.dataset, name):
                    raise SeglineError(
                        f"{frame.file.path}: no {name}, which a DICOM-SEG refers to; write .nii.gz instead"
                    )
        with building(path):
            several = source.is_multiframe and len(source.instances) > 1
        if several:
            raise SeglineError(
                f"{path}: {len(source.instances)} enhanced files make the volume, and a DICOM-SEG refers to "
                "one; write .nii.gz instead"
            )
        return source

    @property
    def first(self) -> "Dataset":
        """The first image as its file has it."""
        return self.stack.frames[0].file.dataset

    @cached_property
    def is_multiframe(self) -> bool:
        """Whether the images' class is of many frames a file, as enhanced CT and MR are."""
        from highdicom._standard_utils import is_multiframe_image

        return bool(is_multiframe_image(self._bare(0)))

    @cached_property
    def instances(self) -> list[str]:
        """UID of each file, once, in order."""
        uids = (_of_file(frame.file.dataset, "SOPInstanceUID") for frame in self.stack.frames)
        return list(dict.fromkeys(uids))

    @cached_property
    def series(self) -> dict[str, str]:
        """UIDs of study, series and frame of reference; where they were taken away, made of the images'."""
        return {
            name: str(self.first.get(name) or uid_of([name, *sorted(self.instances)])) for name in _OF_SERIES
        }

    @property
    def order(self) -> np.ndarray:
        """``(Z,)``, the volume's slice of each of the :meth:`images` or of the frames of the only one."""
        if not self.is_multiframe:
            return np.arange(len(self.stack.frames))
        return np.argsort([frame.number for frame in self.stack.frames])

    @property
    def images(self) -> "list[Dataset]":
        """An image each for the slices of the volume, or one with all of them as frames."""
        if self.is_multiframe:
            return [self._many_frames()]
        return [self._slice(number) for number in range(len(self.stack.frames))]

    def _slice(self, number: int) -> "Dataset":
        image = self._bare(number)
        image.ImagePositionPatient = self._position(number)
        image.ImageOrientationPatient = self._orientation
        image.PixelSpacing, image.SliceThickness = self._pixel_spacing, self._thickness
        image.SpacingBetweenSlices = self._distance
        return image

    def _many_frames(self) -> "Dataset":
        image = self._bare(0)
        image.NumberOfFrames = len(self.stack.frames)
        measures = {"PixelSpacing": self._pixel_spacing, "SliceThickness": self._thickness}
        image.SharedFunctionalGroupsSequence = [
            _item(
                PlaneOrientationSequence=[_item(ImageOrientationPatient=self._orientation)],
                PixelMeasuresSequence=[_item(**measures, SpacingBetweenSlices=self._distance)],
            )
        ]
        image.PerFrameFunctionalGroupsSequence = [
            _item(PlanePositionSequence=[_item(ImagePositionPatient=self._position(int(number)))])
            for number in self.order
        ]
        return image

    def _bare(self, number: int) -> "Dataset":
        """What identifies an image, and nothing of the patient."""
        known = self.stack.frames[number].file.dataset
        image = _item(**{name: _of_file(known, name) for name in _OF_FILE}, **self.series)
        image.Modality, image.Rows, image.Columns = known.get("Modality"), known.Rows, known.Columns
        for name in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if known.get(name):
                setattr(image, name, known[name].value)
        for name in _EMPTY:
            setattr(image, name, None)
        return image

    def _position(self, number: int) -> list[str]:
        return _decimals(self.stack.frames[number].position_mm)

    @property
    def _orientation(self) -> list[str]:
        return _decimals(self.stack.frames[0].directions.ravel())

    @property
    def _pixel_spacing(self) -> list[str]:
        columns_mm, rows_mm = self.stack.frames[0].spacing_mm
        return _decimals([rows_mm, columns_mm])

    @property
    def _distance(self) -> str:
        """Along the images' normal, in mm; of a tilted gantry less than from one to the next."""
        normal = np.cross(*self.stack.frames[0].directions)
        (distance,) = _decimals([abs(float(self.stack.step_mm @ normal))])
        return distance

    @property
    def _thickness(self) -> str:
        try:
            (thickness,) = _decimals([float(self.first.SliceThickness)])
        except (AttributeError, TypeError, ValueError):
            return self._distance
        return thickness

    def sign(self, made: "Dataset") -> None:
        """Fill in whose patient and study it is, in a character set that has every letter."""
        made.SpecificCharacterSet = _UTF8
        for element in self._told():
            made[element.tag] = element

    def _told(self) -> Iterator["DataElement"]:  # type: ignore[name-defined]  # noqa: F821
        for tag in self.first.keys():  # noqa: SIM118  # a Dataset's iterator would read the pixels
            if tag.group in _OF_PATIENT:
                yield self.first[tag]
        for name in _OF_STUDY:
            if name in self.first:
                yield self.first[name]


@contextmanager
def building(where: Path) -> Iterator[None]:
    """Tell in one line what keeps highdicom from making an object.

    Raises:
        SeglineError: something does.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise SeglineError(
            f"{where}: no DICOM object can refer to this series ({reason}); write .nii.gz instead"
        ) from error


def _of_file(dataset: "Dataset", name: str) -> str:
    return str(dataset.get(name) or dataset.file_meta.get(_OF_FILE[name]) or "")


def _is_dicom(path: Path) -> bool:
    return path.is_file() and has_magic(path)


def _decimals(numbers: Sequence[float] | np.ndarray) -> list[str]:
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(number)) for number in numbers]


def _item(**attributes: object) -> "Dataset":
    from pydicom import Dataset

    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return item
