"""What another library, highdicom, makes of a DICOM-SEG."""

import io
from collections.abc import Mapping
from pathlib import Path

import highdicom
import numpy as np

from segline.imaging.dicom.algorithm import Algorithm
from segline.imaging.dicom.sources import Source

ALGORITHM = Algorithm("spleen", "spleen/3", {"plan": "ab" * 32, "weights": "cd" * 32})


def read_back(content: bytes | Path, source: Source, labels: Mapping[int, str]) -> np.ndarray:
    """``(X, Y, Z)`` label values on the grid of the source's volume, each frame where its image is."""
    stream = io.BytesIO(content if isinstance(content, bytes) else content.read_bytes())
    segments = highdicom.seg.segread(stream)
    how = {"combine_segments": True, "assert_missing_frames_are_empty": True}
    if source.is_multiframe:
        frames = [frame.number + 1 for frame in source.stack.frames]
        numbers = segments.get_pixels_by_source_frame(source.instances[0], frames, **how)
    else:
        numbers = segments.get_pixels_by_source_instance(source.instances, **how)
    return np.array([0, *labels], np.uint8)[numbers].T
