"""Volumes in files, whatever their format: known by their first bytes."""

import re
from collections.abc import Sequence
from pathlib import Path

from segline.common.errors import SeglineError
from segline.imaging.formats import others as formats
from segline.imaging.formats.table import format_of
from segline.imaging.gzipped import is_gzipped, peeled
from segline.imaging.headers import contradiction
from segline.imaging.nifti import DAMAGED_GZIP, head_of, is_pair, nifti_volume, write_nifti
from segline.imaging.volume import Volume

UNDERSTOOD = "NIfTI, DICOM, MGH, NRRD and MetaImage are read, and pictures, JPEG and PNG"
_HEAD_BYTES = 1 << 16
"""More than enough of a file to unzip its header."""
_HALVES = re.compile(r"\.(hdr|img)(?=(\.gz)?$)", re.IGNORECASE)


def read_volume(path: Path, name: str | None = None) -> Volume:
    """Read a 3-D or 4-D file; the fourth axis, where there is one, is channels (Decathlon).

    Integers without a scale factor keep their type, in native byte order; all else becomes float32.

    Args:
        path: a NIfTI file, of version 1 or 2, one or a pair, gzipped or not; an MGH, NRRD or MetaImage file;
            a picture, JPEG or PNG, which is one slice; a DICOM file with many frames, or a folder with the
            slices of one DICOM series.
        name: how errors name the file; ``path`` by default.

    Raises:
        SeglineError: the file is missing, of no known format, truncated, larger than
            ``SEGLINE_LARGEST_GB``, not 3-D, not of real numbers, or does not say where it lies.
    """
    name = name or str(path)
    try:
        if path.is_dir():
            from segline.imaging.dicom.series import read_series

            return read_series(path)
        if not path.is_file():
            raise SeglineError(f"{name}: no such file")
        return _volume(path, name)
    except OSError as error:
        raise SeglineError(f"{name}: cannot be read ({error.strerror or error})") from error


def read_channels(paths: Sequence[Path]) -> Volume:
    """Read one volume from one file with all channels, or from one file a channel.

    Raises:
        SeglineError: a file cannot be read, holds NaN, or the files are on different grids.
    """
    volumes = [read_volume(path) for path in paths]
    for path, volume in zip(paths, volumes, strict=True):
        volume.require_finite(str(path))
        volume.grid.require_same(volumes[0].grid, f"{path}:", f"that of {paths[0]}")
    return Volume.stack(volumes)


def read_to_learn(path: Path, name: str) -> Volume:
    """:func:`read_volume` of one file, of which nothing may be open: what a model learns it repeats.

    Raises:
        SeglineError: as there; or qform and sform contradict each other, a voxel is not finite, or the voxels
            are in another file than their header, where one digest would not tell that they changed.
    """
    volume = read_volume(path, name)
    head = head_in(path, name)
    if is_pair(head) or (formats.is_itk(head) and formats.is_detached(path)):
        raise SeglineError(f"{name}: its voxels are in another file; convert it to one file a volume")
    if volume.header is not None and (differ := contradiction(volume.header)):
        raise SeglineError(f"{name}: {differ}")
    volume.require_finite(name)
    return volume


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume of one or more channels, atomically: NIfTI, or NRRD where the name ends in ``.nrrd``.

    Raises:
        SeglineError: NRRD is asked for, and SimpleITK is not installed.
    """
    if path.suffix == ".nrrd":
        formats.write_nrrd(path, volume)
    else:
        write_nifti(path, volume)


def _volume(path: Path, name: str) -> Volume:
    try:
        raw = peeled(path.read_bytes())
    except DAMAGED_GZIP as error:  # type: ignore[misc]  # the stub lacks its base
        raise SeglineError(f"{name}: truncated or damaged gzip ({error}); fetch the file again") from error
    head = _head(raw, name)
    if is_pair(head):
        return nifti_volume(raw, name, _other_half(path, "img", name).read_bytes())
    if found := format_of(head, path):
        return found.volume(raw, path, name)
    if _HALVES.search(path.name) and path.name.lower().find(".img") > 0:
        return _volume(_other_half(path, "hdr", name), name)
    if kind := formats.name_of_format(head):
        raise SeglineError(f"{name}: not a readable NIfTI file but {kind}; {UNDERSTOOD}")
    return nifti_volume(raw, name)  # says what is wrong with it


def head_in(path: Path, name: str | None = None) -> bytes:
    """The first bytes of a file, unzipped where it is gzipped, once or twice.

    Raises:
        SeglineError: missing, or damaged gzip.
    """
    name = name or str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(_HEAD_BYTES)
        if is_gzipped(_head(raw, name)):
            raw = peeled(path.read_bytes())
        return _head(raw, name)
    except OSError as error:
        raise SeglineError(f"{name}: cannot be read ({error.strerror or error})") from error
    except DAMAGED_GZIP as error:  # type: ignore[misc]  # the stub lacks its base
        raise SeglineError(f"{name}: truncated or damaged gzip ({error}); fetch the file again") from error


def _head(raw: bytes, name: str) -> bytes:
    try:
        return head_of(raw)
    except DAMAGED_GZIP as error:  # type: ignore[misc]  # the stub lacks its base
        raise SeglineError(f"{name}: truncated or damaged gzip ({error}); fetch the file again") from error


def _other_half(path: Path, suffix: str, name: str) -> Path:
    """Of a pair ``.hdr`` and ``.img``, either of which may be gzipped."""
    for gz in ("", ".gz"):
        other = path.with_name(_HALVES.sub(f".{suffix}", path.name).removesuffix(".gz") + gz)
        if other.is_file() and other != path:
            return other
    raise SeglineError(f"{name}: the .{suffix} file that belongs to it is missing; put it beside")
