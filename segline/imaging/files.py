"""Volumes in files: NIfTI read and written, and a DICOM series read."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.common.wording import by
from segline.imaging.geometry import Affine, spacing_mm
from segline.imaging.volume import Volume

_GZIP_LEVEL = 1
"""Of isal: a mask of 512x512x168 takes 3 ms and 67 kB, and 150 ms and 217 kB with gzip's level 3."""


def read_volume(path: Path, name: str | None = None) -> Volume:
    """Read a 3-D or 4-D NIfTI file; the fourth axis, where there is one, is channels (Decathlon).

    Integers without a scale factor keep their type, in native byte order; all else becomes float32.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file, or a folder with the slices of one DICOM series.
        name: how errors name the file; ``path`` by default.

    Raises:
        SeglineError: the file is missing, not NIfTI, truncated, not 3-D, not of real numbers, or its
            affine is not invertible.
    """
    name = name or str(path)
    if path.is_dir():
        from segline.imaging.dicom import read_series

        return read_series(path)
    if not path.is_file():
        raise SeglineError(f"{name}: no such file")
    try:
        image = nib.Nifti1Image.from_bytes(_file_bytes(path))
        array = np.asanyarray(image.dataobj)
    except (EOFError, IsalError, gzip.BadGzipFile) as error:  # type: ignore[misc]  # the stub lacks its base
        raise SeglineError(f"{name}: truncated or damaged gzip ({error}); fetch the file again") from error
    except (ImageFileError, WrapStructError, HeaderDataError, ValueError, OSError) as error:
        raise SeglineError(f"{name}: not a readable NIfTI file ({error})") from error
    affine = np.asarray(image.affine, dtype=np.float64)
    _require_volume(array, affine, name)
    dtype = array.dtype.newbyteorder("=") if array.dtype.kind in "iu" else np.float32
    array = array.astype(dtype, copy=False)
    channels_first = array[None] if array.ndim == 3 else np.moveaxis(array, -1, 0)
    return Volume(channels_first, affine)


def read_channels(paths: Sequence[Path]) -> Volume:
    """Read one volume from one file with all channels, or from one file a channel.

    Raises:
        SeglineError: a file cannot be read, or the files are on different grids.
    """
    volumes = [read_volume(path) for path in paths]
    for path, volume in zip(paths, volumes, strict=True):
        if not volume.grid.matches(volumes[0].grid):
            raise SeglineError(f"{path}: on another grid than {paths[0]}; channels must share one grid")
    return Volume.stack(volumes)


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume of one or more channels as NIfTI, atomically and with the same bytes every time."""
    array = volume.array[0] if len(volume.array) == 1 else np.moveaxis(volume.array, 0, -1)
    image = nib.Nifti1Image(np.asfortranarray(array), volume.affine)  # as the file lies
    image.header.set_xyzt_units("mm")
    payload = image.to_bytes()
    with atomic.new_file(path) as scratch:
        scratch.write_bytes(
            igzip.compress(payload, _GZIP_LEVEL, mtime=0) if path.suffix == ".gz" else payload
        )


def _require_volume(array: np.ndarray, affine: Affine, name: str) -> None:
    if array.ndim not in (3, 4) or min(array.shape) < 1 or sum(size > 1 for size in array.shape[:3]) < 3:
        shape = by(array.shape)
        raise SeglineError(f"{name}: a volume of three spatial axes is needed, this file is {shape}")
    if array.dtype.kind not in "iuf":
        raise SeglineError(f"{name}: voxels are {array.dtype}; convert the file to one real number a voxel")
    if not np.isfinite(affine).all() or min(spacing_mm(affine)) <= 0 or np.linalg.matrix_rank(affine) < 4:
        raise SeglineError(f"{name}: the affine places no volume in space; repair the file's sform or qform")


def _file_bytes(path: Path) -> bytes:
    raw = path.read_bytes()
    return igzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
