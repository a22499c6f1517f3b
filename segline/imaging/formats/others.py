"""Volumes besides NIfTI and DICOM: MGH by nibabel, NRRD and MetaImage by SimpleITK; others by their names."""

import math
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from segline.common import atomic
from segline.common.errors import SeglineError, imports_of
from segline.common.limits import require_fits
from segline.common.wording import by
from segline.imaging.geometry import LPS_TO_RAS
from segline.imaging.nifti import contents, head_of
from segline.imaging.volume import Volume

_MGH_HEADER_BYTES, _MGH_FOOTER_BYTES = 284, 1 << 16
_MGH_DTYPES = {0: np.uint8, 1: np.int32, 3: np.float32, 4: np.int16, 10: np.uint16}
_KNOWN = (
    (b"\x89HDF", "HDF5 (MINC 2, or MATLAB)"),
    (b"CDF", "MINC 1"),
    (b"MATLAB", "MATLAB"),
    (b"\x93NUMPY", "NumPy"),
    (b"# vtk", "VTK"),
    (b"PK\x03\x04", "ZIP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"# === DATA DESC", "Philips PAR/REC"),
    (b"<", "HTML or XML"),
)
_DETACHED = re.compile(
    rb"^\s*(data ?file\s*:|ElementDataFile\s*=\s*(?!LOCAL\b)\S)", re.IGNORECASE | re.MULTILINE
)
_TEXT_BYTES = 1 << 16


def name_of_format(head: bytes) -> str:
    """What a file is that begins with ``head``, for messages; empty where it is not known."""
    return next((name for magic, name in _KNOWN if head.startswith(magic)), "")


def is_mgh(head: bytes, path: Path) -> bool:
    """Whether a file is FreeSurfer's, whose first number says little: by its name, too."""
    return head[:4] == b"\0\0\0\1" and path.name.lower().endswith((".mgh", ".mgz", ".mgh.gz"))


def is_itk(head: bytes) -> bool:
    """Whether it is one of the formats that are read by SimpleITK."""
    return head.startswith(b"NRRD0") or b"NDims" in head


def is_detached(path: Path) -> bool:
    """Whether a header of NRRD or MetaImage names another file for the voxels."""
    with path.open("rb") as stream:
        return bool(_DETACHED.search(stream.read(_TEXT_BYTES).partition(b"\n\n")[0]))


def mgh_declared(head: bytes, name: str) -> tuple[tuple[int, ...], tuple[float, ...], int]:
    """Shape, frames last, spacing in mm, and bytes a value, of the header alone.

    Raises:
        SeglineError: damaged.
    """
    *shape, code = (int(number) for number in np.frombuffer(head[4:24], ">i4"))
    if len(shape) != 4 or min(shape) < 1 or code not in _MGH_DTYPES:
        raise SeglineError(f"{name}: not a readable MGH file; fetch it again")
    placed = int.from_bytes(head[28:30], "big") == 1
    spacing = np.frombuffer(head[30:42], ">f4") if placed else np.ones(3)
    return tuple(shape), tuple(map(float, spacing)), np.dtype(_MGH_DTYPES[code]).itemsize


def mgh_volume(raw: bytes, name: str) -> Volume:
    """The volume of an ``.mgh`` or ``.mgz`` file.

    Raises:
        SeglineError: damaged, or of more bytes than may be.
    """
    shape, _, itemsize = mgh_declared(head_of(raw), name)
    size = math.prod(map(float, shape)) * itemsize
    require_fits(size, f"{name}: {by(shape[:3])} voxels")
    data = contents(raw, _MGH_HEADER_BYTES + int(size) + _MGH_FOOTER_BYTES, name)
    try:
        image = nib.MGHImage.from_bytes(data)
        array = np.asanyarray(image.dataobj)
    except (ValueError, OSError) as error:
        raise SeglineError(f"{name}: not a readable MGH file ({error})") from error
    return Volume.of_file(array, np.asarray(image.affine), name)


def itk_volume(path: Path, name: str) -> Volume:
    """The volume of an NRRD or MetaImage file, components of a voxel as channels.

    Raises:
        SeglineError: SimpleITK is not installed or cannot read it, or it is not of three axes.
    """
    sitk = _simpleitk()
    try:
        reader = _informed(sitk, path)
        shape, components = reader.GetSize(), reader.GetNumberOfComponents()
        if len(shape) != 3:
            raise SeglineError(f"{name}: a volume of three spatial axes is needed, this file is {by(shape)}")
        require_fits(float(np.prod(np.array(shape, float))) * components * 4, f"{name}: {by(shape)} voxels")
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise SeglineError(f"{name}: cannot be read ({reason}); fetch the file again") from error
    array = np.swapaxes(sitk.GetArrayFromImage(image), 0, 2)  # z, y, x to x, y, z; components stay last
    return Volume.of_file(array, _ras_affine(image), name)


def itk_declared(path: Path, name: str) -> tuple[tuple[int, ...], tuple[float, ...], int]:
    """Shape, components last, spacing in mm, and 4 bytes a value, of the header alone.

    Raises:
        SeglineError: SimpleITK is not installed, or cannot read it.
    """
    sitk = _simpleitk()
    try:
        reader = _informed(sitk, path)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise SeglineError(f"{name}: cannot be read ({reason}); fetch the file again") from error
    components = reader.GetNumberOfComponents()
    return (*reader.GetSize(), *([components] if components > 1 else [])), tuple(reader.GetSpacing()), 4


def _informed(sitk: Any, path: Path) -> Any:
    """A reader that has read the header."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def write_nrrd(path: Path, volume: Volume) -> None:
    """Write a volume as NRRD, which holds sheared grids, too; atomically.

    Raises:
        SeglineError: SimpleITK is not installed.
    """
    sitk = _simpleitk()
    array = np.moveaxis(volume.array, 0, -1) if len(volume.array) > 1 else volume.array[0]
    image = sitk.GetImageFromArray(np.swapaxes(array, 0, 2), isVector=len(volume.array) > 1)
    lps = LPS_TO_RAS @ volume.affine  # its own inverse
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    with atomic.new_file(path) as scratch:
        sitk.WriteImage(image, str(scratch), useCompression=True)


def _ras_affine(image: Any) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.asarray(LPS_TO_RAS @ affine)


def _simpleitk() -> Any:
    with imports_of("dicom", "to read NRRD and MetaImage"):
        import SimpleITK
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK
