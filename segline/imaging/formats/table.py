"""The formats that are read, each known by the first bytes of a file."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from segline.imaging.formats import others
from segline.imaging.formats.pictures import is_picture, picture_declared, picture_volume
from segline.imaging.nifti import is_nifti, nifti_declared, nifti_volume
from segline.imaging.volume import Volume

Declaration = tuple[tuple[int, ...], tuple[float, ...], int]
"""Shape with channels last where there are several, spacing in mm, bytes of a value."""
_DICOM_MAGIC = slice(128, 132)


class Format(NamedTuple):
    """How one is known and read; each is told the file, and how errors name it."""

    is_of: Callable[[bytes, Path], bool]
    """Whether a file with these first bytes, unzipped, is one."""
    volume: Callable[[bytes, Path, str], Volume]
    """Of all its bytes, unzipped."""
    declared: Callable[[bytes, Path, str], Declaration]
    """Of its first bytes, unzipped, before memory is taken for voxels."""


def format_of(head: bytes, path: Path) -> Format | None:
    """Of the file at ``path``, whose first bytes are ``head``; ``None`` where it is none that is read."""
    return next((one for one in _FORMATS if one.is_of(head, path)), None)


def _dicom_volume(_: bytes, path: Path, __: str) -> Volume:
    from segline.imaging.dicom.series import read_file

    return read_file(path)


def _dicom_declared(_: bytes, path: Path, __: str) -> Declaration:
    from segline.imaging.dicom.series import declared_series

    return declared_series(path)


_FORMATS = (
    Format(
        lambda head, _: is_picture(head),
        lambda raw, _, name: picture_volume(raw, name),
        lambda _, path, name: picture_declared(path, name),
    ),
    Format(
        others.is_mgh,
        lambda raw, _, name: others.mgh_volume(raw, name),
        lambda head, _, name: others.mgh_declared(head, name),
    ),
    Format(
        lambda head, _: others.is_itk(head),
        lambda _, path, name: others.itk_volume(path, name),
        lambda _, path, name: others.itk_declared(path, name),
    ),
    Format(lambda head, _: head[_DICOM_MAGIC] == b"DICM", _dicom_volume, _dicom_declared),
    Format(
        lambda head, _: is_nifti(head),
        lambda raw, _, name: nifti_volume(raw, name),
        lambda head, _, name: nifti_declared(head, name),
    ),
)
