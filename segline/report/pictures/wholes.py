"""Whole images: the slice in the middle of one, as it is looked at."""

from collections.abc import Callable

import numpy as np

from segline.imaging.volume import Volume
from segline.report.html.markup import Html, data_uri, element
from segline.report.pictures.overlays import webp

_EDGE = 220
"""Pixels of the longer edge, at least."""


def middle_slice(volume: Volume, span_of: Callable[[np.ndarray], tuple[float, float]], alt: str) -> Html:
    """The middle slice of an image, enlarged if it is small; ``span_of`` says what is black and white.

    Of a picture, the first row is the upper one; of a volume, as a radiologist sees it if its axes are RAS.
    Of three channels, they are taken for colours, others are shown by the first.
    """
    middle = volume.array[..., volume.array.shape[-1] // 2].astype(np.float32)
    channels = middle if len(middle) == 3 else middle[:1]
    low, high = (0.0, float(middle.max())) if len(middle) == 3 else span_of(middle[0])
    grey = np.clip((channels - low) / max(high - low, 1e-6), 0, 1)
    rows = np.broadcast_to(grey, (3, *grey.shape[1:])).transpose(2, 1, 0)
    if volume.array.shape[-1] > 1:
        rows = rows[::-1, ::-1]
    times = max(1, _EDGE // max(rows.shape[:2]))
    pixels = rows.repeat(times, axis=0).repeat(times, axis=1)
    return element("img", src=data_uri(webp(pixels), "image/webp"), alt=alt)
