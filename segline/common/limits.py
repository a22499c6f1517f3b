"""How much is taken in of what others made: the size is known before it is taken."""

import os

from segline.common.errors import SeglineError

VARIABLE = "SEGLINE_LARGEST_GB"
"""Of the environment, and read here rather than by entry points: it holds for whatever process reads."""
_LARGEST_GB = 4.0
"""Whole-body CT of 512x512x2000 voxels takes 1, and 2 as float32."""


def require_fits(size_bytes: float, what: str) -> None:
    """Refuse what is larger than one volume, graph or file may be, before memory or disk is taken for it.

    Raises:
        SeglineError: larger than ``SEGLINE_LARGEST_GB``, or 4 GB, or that variable is no number.
    """
    most = largest_gb()
    if size_bytes > most * 1e9:
        raise SeglineError(
            f"{what} would take {size_bytes / 1e9:.4g} GB, more than the {most:g} GB that are allowed; "
            f"if that is meant, set {VARIABLE}"
        )


def largest_gb() -> float:
    """What ``SEGLINE_LARGEST_GB`` says, or 4."""
    text = os.environ.get(VARIABLE, str(_LARGEST_GB))
    try:
        most = float(text)
    except ValueError:
        most = 0.0
    if not 0 < most < float("inf"):
        raise SeglineError(f"{VARIABLE} is {text!r}; give a number of GB above 0")
    return most
