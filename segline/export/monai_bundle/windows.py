"""The script that a bundle carries: how long its windows are, by the rule of segline's tiling."""

import inspect

from segline.inference.tiling import tile_axis

SCRIPT = "scripts/windows.py"


def window_along(
    size: int, shortest: int, longest: int, overlap: int, multiple: int
) -> tuple[int, int | float]:
    """Length and step of the windows along an axis; half a voxel guards the step, which MONAI rounds down."""
    length, starts = tile_axis(size, shortest, longest, overlap, multiple)
    return length, length if len(starts) == 1 else -(-(size - length) // (len(starts) - 1)) + 0.5


def script() -> str:
    """Both functions as a module that needs nothing else."""
    head = '"""How a volume is cut into windows, as in the training; written by segline."""'
    return "\n\n\n".join([head, inspect.getsource(tile_axis), inspect.getsource(window_along)])
