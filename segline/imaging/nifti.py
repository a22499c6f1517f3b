"""NIfTI: the bytes of a file as a volume, and back."""

import gzip
import io
import math
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError
from nibabel.arrayproxy import ArrayProxy
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.common.limits import require_fits
from segline.common.wording import by
from segline.imaging.gzipped import is_gzipped, unzipped
from segline.imaging.headers import Header, HeaderError, affine_of, image_like, remarks
from segline.imaging.volume import Volume

HEADER_BYTES = 544
"""The longer of the two headers, with the mark of its extensions."""
DAMAGED_GZIP = (EOFError, IsalError, gzip.BadGzipFile)
_SLACK_BYTES = 1 << 20
"""As much more than the header tells of is passed over."""
_GZIP_LEVEL = 1
"""Of isal: a mask of 512x512x168 takes 3 ms and 67 kB, and 150 ms and 217 kB with gzip's level 3."""
_SIZES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_SINGLE, _PAIR = (b"n+1", b"n+2"), (b"ni1", b"ni2")


class _Layout(NamedTuple):
    """How voxels lie in a file."""

    header: Header
    offset: int
    end: int


def head_of(raw: bytes) -> bytes:
    """The first bytes of a file, unzipped where it is gzipped."""
    return unzipped(raw, HEADER_BYTES) if is_gzipped(raw) else raw[:HEADER_BYTES]


def is_nifti(head: bytes) -> bool:
    """Whether bytes begin as a header of NIfTI, or of Analyze, which it grew from."""
    return _header_class(head) is not None


def is_pair(head: bytes) -> bool:
    """Whether they are the header of voxels that are in another file."""
    kind = _header_class(head)
    return kind is not None and _magic(head, kind) in _PAIR


def nifti_volume(raw: bytes, name: str, voxels: bytes | None = None) -> Volume:
    """The volume of a file's bytes, gzipped or not; of a pair of files, ``voxels`` are those of the second.

    Raises:
        SeglineError: damaged, of more bytes than may be, without a place in space, or not of real numbers.
    """
    try:
        header, offset, end = _layout(head_of(raw), name)
        data = contents(raw if voxels is None else voxels, end, name)
        array, affine, odd = _voxels(header, data, offset), affine_of(header), remarks(header)
    except HeaderError as error:
        raise SeglineError(f"{name}: {error}") from error
    except DAMAGED_GZIP as error:  # type: ignore[misc]  # the stub lacks its base
        raise SeglineError(f"{name}: truncated or damaged gzip ({error}); fetch the file again") from error
    except (WrapStructError, HeaderDataError, ValueError, OSError, OverflowError) as error:
        raise SeglineError(f"{name}: not a readable NIfTI file ({error})") from error
    return Volume.of_file(array, affine, name, header, odd)


def _voxels(header: Header, data: bytes, offset: int) -> np.ndarray:
    """The values of a file's bytes, scaled as its header says; the bytes themselves where it says nothing."""
    shape, dtype, scale = header.get_data_shape(), header.get_data_dtype(), header.get_slope_inter()
    is_whole = len(data) - offset >= math.prod(shape) * dtype.itemsize > 0
    if is_whole and scale in ((None, None), (1, 0)):
        return np.ndarray(shape, dtype, data, offset, order="F")
    return np.asanyarray(ArrayProxy(io.BytesIO(data), (shape, dtype, offset, *scale)))


def nifti_declared(head: bytes, name: str) -> tuple[tuple[int, ...], tuple[float, ...], int]:
    """Shape, spacing in mm of its first three axes, and bytes a value, of a header alone.

    Raises:
        SeglineError: damaged, or of more bytes than may be.
    """
    try:
        header, _, _ = _layout(head, name)
        spacing = np.linalg.norm(affine_of(header)[:3, :3], axis=0)
    except (HeaderError, WrapStructError, HeaderDataError, ValueError) as error:
        raise SeglineError(f"{name}: not a readable NIfTI file ({error})") from error
    shape = tuple(int(size) for size in header.get_data_shape())
    return shape, tuple(map(float, spacing)), header.get_data_dtype().itemsize


def write_nifti(path: Path, volume: Volume) -> None:
    """Write a volume of one or more channels, atomically and with the same bytes every time.

    Where it is from a NIfTI file, or is an answer to one, every reader puts it where it puts that.
    """
    array = volume.array[0] if len(volume.array) == 1 else np.moveaxis(volume.array, 0, -1)
    array = np.asfortranarray(array)  # as the file lies
    if volume.header is not None:
        image = image_like(array, volume.header)
    else:
        image = nib.Nifti1Image(array, volume.affine)
        image.header.set_xyzt_units("mm")
    payload = image.to_bytes()
    with atomic.new_file(path) as scratch:
        scratch.write_bytes(
            igzip.compress(payload, _GZIP_LEVEL, mtime=0) if path.suffix == ".gz" else payload
        )


def contents(raw: bytes, size: int, name: str) -> bytes:
    """Unzipped, where it is gzipped; no further than ``size`` and a little more.

    Raises:
        SeglineError: there is much more than that.
    """
    if not is_gzipped(raw):
        return raw
    data = unzipped(raw, size + _SLACK_BYTES)
    if len(data) == size + _SLACK_BYTES:
        raise SeglineError(
            f"{name}: unpacks to more than the {size} bytes that its header tells of; fetch the file again"
        )
    return data


def _layout(head: bytes, name: str) -> _Layout:
    kind = _header_class(head)
    if kind is None:
        raise WrapStructError("it does not begin with a header")
    block = head[: kind.template_dtype.itemsize]
    if len(block) < kind.template_dtype.itemsize:
        raise WrapStructError("it ends in its header")
    magic = _magic(head, kind)
    if magic not in (*_SINGLE, *_PAIR):
        raise SeglineError(
            f"{name}: an Analyze 7.5 file, which does not say how the patient lies; convert it to NIfTI"
        )
    header = kind(block, check=False)
    offset = float(header["vox_offset"])
    least = len(block) + 4 if magic in _SINGLE else 0
    if offset != 0 and not least <= offset < 2**40:
        raise HeaderDataError(f"its voxels begin at byte {offset:g}, inside its header or nowhere")
    shape = header.get_data_shape()
    if not 1 <= len(shape) <= 7 or min(shape) < 1:
        raise HeaderDataError(f"its shape is {shape}")
    try:
        size = math.prod(shape) * header.get_data_dtype().itemsize
    except KeyError as error:
        raise HeaderDataError(f"its datatype {error} is unknown") from error
    require_fits(size, f"{name}: {by(shape)} voxels")
    begin = int(offset) or least
    return _Layout(header, begin, begin + size)


def _header_class(head: bytes) -> type[nib.Nifti1Header] | None:
    sizes = (int.from_bytes(head[:4], order, signed=True) for order in ("little", "big"))
    return next((_SIZES[size] for size in sizes if size in _SIZES), None)


def _magic(head: bytes, kind: type[nib.Nifti1Header]) -> bytes:
    return head[344:347] if kind is nib.Nifti1Header else head[4:7]
