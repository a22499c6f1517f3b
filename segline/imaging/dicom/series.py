"""A DICOM series as a volume."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segline.common.errors import SeglineError
from segline.common.limits import require_fits
from segline.common.wording import by
from segline.imaging.dicom.frames import Frame, frames_of
from segline.imaging.dicom.objects import ImageFile, image_file, image_files
from segline.imaging.dicom.stack import Stack, stacked
from segline.imaging.geometry import LPS_TO_RAS
from segline.imaging.volume import Volume

_WHOLE = (np.int16, np.int32)


def read_series(folder: Path) -> Volume:
    """The one series in a folder: ``(1, X, Y, Z)`` in the file's unit (HU for CT), its affine in RAS mm.

    Sheared where the gantry was tilted; whole numbers where every slice's values are.

    Raises:
        SeglineError: pydicom is not installed, there is no series or more than one, it is not one even stack
            of parallel grey images, or a file cannot be read.
    """
    return _volume(stack_at(folder), folder)


def declared_series(folder: Path) -> tuple[tuple[int, ...], tuple[float, ...], int]:
    """Shape, spacing in mm and 4 bytes a value of the one series in a folder, without its pixels.

    Raises:
        SeglineError: as :func:`read_series`.
    """
    stack = stack_at(folder)
    spacing = np.linalg.norm(stack.affine_lps[:3, :3], axis=0)
    return (*stack.frames[0].shape, len(stack.frames)), tuple(map(float, spacing)), 4


def read_file(path: Path) -> Volume:
    """A file with many frames, as :func:`read_series`.

    Raises:
        SeglineError: as there, or it has one frame.
    """
    return _volume(stack_at(path), path)


def stack_at(path: Path) -> Stack:
    """The frames of the one series in a folder, or of one file, sorted; their pixels are not read yet.

    Raises:
        SeglineError: as in :func:`read_series`, but for the pixels.
    """
    files = image_files(path) if path.is_dir() else [image_file(path)]
    if len(series := _series(files)) != 1:
        told = ", ".join(f"{modality} of {count}" for (_, modality), count in series.items())
        what = f"{len(series)} DICOM series in it ({told})" if series else "no DICOM series in it"
        raise SeglineError(f"{path}: {what}; give a folder with the slices of one, or a NIfTI file")
    return stacked([frame for file in files for frame in frames_of(file)], path)


def _series(files: Sequence[ImageFile]) -> dict[tuple[str, str], int]:
    return dict(Counter((file.series, file.modality) for file in files))


def _volume(stack: Stack, where: Path) -> Volume:
    columns, rows = stack.frames[0].shape
    shape = (columns, rows, len(stack.frames))
    require_fits(4.0 * columns * rows * len(stack.frames), f"{where}: {by(shape)} voxels")
    return Volume.of_file(_values(stack).T, LPS_TO_RAS @ stack.affine_lps, str(where), remarks=stack.remarks)


def _values(stack: Stack) -> np.ndarray:
    """``(Z, Y, X)``, rescaled slice by slice: each has its own factors, and may have its own type."""
    slices: list[np.ndarray] = []
    decoded: dict[Path, np.ndarray] = {}
    for frame in stack.frames:
        if (path := frame.file.path) not in decoded:
            decoded = {path: _decoded(frame)}
        slices.append(_rescaled(decoded[path][frame.number], frame))
    exact = all(values.dtype.kind == "i" for values in slices)
    return np.stack(slices) if exact else np.stack([values.astype(np.float32) for values in slices])


def _rescaled(stored: np.ndarray, frame: Frame) -> np.ndarray:
    """In the file's unit; whole numbers in the smallest type of them that holds the slice."""
    if not frame.is_exact or stored.dtype.kind == "f":
        return (stored.astype(np.float64) * frame.slope + frame.intercept).astype(np.float32)
    values = stored.astype(np.int64) + int(frame.intercept)
    low, high = values.min(), values.max()
    fitting = (whole for whole in _WHOLE if np.iinfo(whole).min <= low and high <= np.iinfo(whole).max)
    return values.astype(next(fitting, np.float32))


def _decoded(frame: Frame) -> np.ndarray:
    """The stored numbers of all frames of its file, ``(frames, rows, columns)``."""
    path = frame.file.path
    columns, rows = frame.shape
    count = int(frame.file.dataset.get("NumberOfFrames") or 1)
    try:
        stored = frame.file.dataset.pixel_array
    except Exception as error:  # decoders have no one class for what damaged data bring about
        reason = str(error).strip().partition("\n")[0]
        raise SeglineError(
            f"{path}: its pixels cannot be read ({reason}); export the series again"
        ) from error
    return np.asarray(stored).reshape(count, rows, columns)
