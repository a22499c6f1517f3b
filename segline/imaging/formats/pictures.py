"""Pictures, JPEG or PNG, as volumes of one slice."""

import io
import math
from pathlib import Path

import numpy as np

from segline.common.errors import SeglineError
from segline.common.limits import require_fits
from segline.common.wording import by
from segline.imaging.volume import Volume

SUFFIXES = (".jpeg", ".jpg", ".png")
_MAGICS = (b"\x89PNG", b"\xff\xd8\xff")
_GREY = {"1": "L", "L": "L", "I;16": "I;16", "I": "I", "F": "F"}
"""Modes of one number a pixel, and as what they are read; all else becomes red, green and blue."""


def is_picture(head: bytes) -> bool:
    """Whether bytes begin as a picture does that is read here."""
    return head.startswith(_MAGICS)


def picture_volume(raw: bytes, name: str) -> Volume:
    """The volume ``(C, width, height, 1)`` of a picture: one channel where it is grey, else three.

    A picture says nothing of the patient: its pixels are taken for 1 mm, its axes for those of the body, as
    MONAI's reader does. Transparency is left out.

    Raises:
        SeglineError: damaged, larger than ``SEGLINE_LARGEST_GB``.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(raw), formats=("JPEG", "PNG")) as image:
            require_fits(12.0 * math.prod(image.size), f"{name}: {by(image.size)} pixels")
            pixels = np.asarray(image.convert(_GREY.get(image.mode, "RGB")))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SeglineError(f"{name}: not a readable picture ({error}); fetch the file again") from error
    channels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    array = np.ascontiguousarray(channels.swapaxes(1, 2)[..., None])
    dtype = array.dtype.newbyteorder("=") if array.dtype.kind in "iu" else np.float32
    return Volume(array.astype(dtype, copy=False), np.eye(4))


def picture_declared(path: Path, name: str) -> tuple[tuple[int, ...], tuple[float, ...], int]:
    """Shape with its channels last, 1 mm, and bytes a value, of the header alone.

    Raises:
        SeglineError: damaged.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            channels = 1 if image.mode in _GREY else 3
            return (*image.size, 1, channels), (1.0, 1.0, 1.0), 4
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SeglineError(f"{name}: not a readable picture ({error}); fetch the file again") from error
