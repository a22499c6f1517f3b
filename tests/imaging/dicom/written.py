"""DICOM series written slice by slice, each as the test wants it."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from segline.imaging.geometry import LPS_TO_RAS, Reorientation

SERIES, FRAME_OF_REFERENCE = generate_uid(entropy_srcs=["series"]), generate_uid(entropy_srcs=["frame"])
AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def dataset_of(stored: np.ndarray, position: Any, number: int, **attributes: Any) -> FileDataset:
    """One CT image of ``stored`` ``(rows, columns)``, pixels of 1.5 mm along rows and 2 mm along columns.

    An attribute that is None is left out.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number), str(position)])
    image = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    values: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SeriesInstanceUID": SERIES,
        "StudyInstanceUID": SERIES,
        "FrameOfReferenceUID": FRAME_OF_REFERENCE,
        "InstanceNumber": number + 1,
        "ImagePositionPatient": [float(value) for value in position],
        "ImageOrientationPatient": AXIAL,
        "PixelSpacing": [2.0, 1.5],
        "SliceThickness": 5.0,
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": stored.dtype.itemsize * 8,
        "BitsStored": stored.dtype.itemsize * 8,
        "HighBit": stored.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "PixelData": stored.tobytes(),
        **attributes,
    }
    for name, value in values.items():
        if value is not None:
            setattr(image, name, value)
    return image


def write_slice(folder: Path, stored: np.ndarray, position: Any, number: int, **attributes: Any) -> Path:
    """:func:`dataset_of` as a file."""
    path = folder / f"IM_{number:04d}.dcm"
    folder.mkdir(exist_ok=True)
    dataset_of(stored, position, number, **attributes).save_as(path)
    return path


def numbered(count: int, rows: int = 6, columns: int = 8) -> np.ndarray:
    """``(count, rows, columns)`` int16, all different."""
    return np.arange(count * rows * columns, dtype=np.int16).reshape(count, rows, columns)


def write_series(folder: Path, stored: np.ndarray, **attributes: Any) -> Path:
    """Axial slices 5 mm apart, the first at (-30, -30, -25)."""
    for number, image in enumerate(stored):
        write_slice(folder, image, (-30, -30, 5 * number - 25), number, **attributes)
    return folder


def write_enhanced(path: Path, stored: np.ndarray, positions: Any, intercepts: Any) -> Path:
    """A file of many frames, each with its position and its intercept."""
    image = dataset_of(stored[0], (0, 0, 0), 0, PixelData=stored.tobytes(), NumberOfFrames=len(stored))
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(image, name)
    del image.RescaleSlope, image.RescaleIntercept
    image.SharedFunctionalGroupsSequence = [
        _item(
            PlaneOrientationSequence=[_item(ImageOrientationPatient=AXIAL)],
            PixelMeasuresSequence=[_item(PixelSpacing=[2.0, 1.5], SliceThickness=5.0)],
        )
    ]
    image.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=[_item(ImagePositionPatient=[float(value) for value in position])],
            PixelValueTransformationSequence=[
                _item(RescaleSlope=1, RescaleIntercept=intercept, RescaleType="HU")
            ],
        )
        for position, intercept in zip(positions, intercepts, strict=True)
    ]
    image.save_as(path)
    return path


def _item(**attributes: Any) -> pydicom.Dataset:
    item = pydicom.Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return item


def write_phantom_series(folder: Path, volume: Any, of: slice = slice(None), **attributes: Any) -> Path:
    """A volume of an axis-aligned grid as axial slices, those ``of`` it, all as the volume has them."""
    turn = Reorientation.between(volume.grid.orientation, "LPS")
    grid = turn.apply_to_grid(volume.grid)
    columns_mm, rows_mm, step_mm = grid.spacing_mm
    origin = (LPS_TO_RAS @ grid.affine)[:3, 3]
    for number, image in list(enumerate(turn.apply(volume.array)[0].T))[of]:
        place = (*origin[:2], origin[2] + number * step_mm)
        spacing = {"PixelSpacing": [rows_mm, columns_mm], "SliceThickness": step_mm}
        stored = np.ascontiguousarray(image.astype(np.int16))
        write_slice(folder, stored, place, number, **{**spacing, **attributes})
    return folder
