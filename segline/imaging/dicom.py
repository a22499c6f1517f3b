"""DICOM series, read by SimpleITK: the slices of one folder as one volume."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segline.common.errors import SeglineError
from segline.imaging.volume import Volume

if TYPE_CHECKING:
    from SimpleITK import ImageSeriesReader

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_POSITION = "0020|0032"
_UNEVEN_MM = 0.1


def read_series(folder: Path) -> Volume:
    """The one series in a folder: ``(1, X, Y, Z)`` in the file's unit (HU for CT), its affine in RAS mm.

    Raises:
        SeglineError: SimpleITK is not installed, there is no series or more than one, a slice is missing
            or cannot be read.
    """
    reader = _reader()
    series = reader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        what = f"{len(series)} DICOM series" if series else "no DICOM series"
        raise SeglineError(f"{folder}: {what} in it; give a folder with the slices of one, or a NIfTI file")
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series[0]))
    reader.MetaDataDictionaryArrayUpdateOn()
    try:
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise SeglineError(f"{folder}: the series cannot be read ({reason}); export it again") from error
    _require_even(reader, folder)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Volume(_voxels(image)[None], _LPS_TO_RAS @ affine)


def _reader() -> "ImageSeriesReader":
    try:
        import SimpleITK
    except ImportError as error:
        raise SeglineError("SimpleITK is needed to read DICOM; pip install 'segline[dicom]'") from error
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK.ImageSeriesReader()


def _voxels(image: Any) -> np.ndarray:
    from SimpleITK import GetArrayFromImage

    array = GetArrayFromImage(image).transpose(2, 1, 0)
    return np.asarray(array if array.dtype.kind in "iu" else array.astype(np.float32))


def _require_even(reader: "ImageSeriesReader", folder: Path) -> None:
    """SimpleITK spreads slices evenly: a missing one would move all others."""
    positions = [reader.GetMetaData(i, _POSITION).split("\\") for i in range(len(reader.GetFileNames()))]
    steps = np.diff(np.array(positions, dtype=float), axis=0)
    if not len(steps):
        raise SeglineError(f"{folder}: a single slice; export the whole series")
    usual = np.median(steps, axis=0)
    off = np.abs(steps - usual).max(axis=1)
    if off.max() > _UNEVEN_MM:
        worst = int(off.argmax())
        wide, normal = np.linalg.norm(steps[worst]), np.linalg.norm(usual)
        raise SeglineError(
            f"{folder}: from slice {worst + 1} to the next are {wide:.1f} mm, elsewhere {normal:.1f} mm; "
            "slices are missing or uneven, export the whole series"
        )
