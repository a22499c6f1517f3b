"""What is known of a figure: what it is called, means and is written like, and which way is better."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """A number that says how good an answer is."""

    name: str
    """In records, tags and file formats."""
    title: str
    meaning: str
    digits: int
    direction: Literal["higher", "lower", "zero"]
    """Which way is better; ``zero`` is nearer to 0."""
    unit: str = ""
    relative: bool = False
    """A relative change, written in per cent with its sign."""
    whole: bool = False
    """Missing for the case where one label lacks it: the worst there is, which a mean would hide."""

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


SEGMENTATION = (
    Figure("dice", "Dice", "overlap of prediction and truth, 0 to 1", 3, "higher"),
    Figure("nsd", "NSD", "share of the surfaces that lie within the tolerance, 0 to 1", 3, "higher"),
    Figure(
        "hd95_mm",
        "HD95",
        "95th percentile of the distances between surfaces",
        1,
        "lower",
        unit="mm",
        whole=True,
    ),
    Figure("sensitivity", "Sensitivity", "share of the true voxels that were found", 3, "higher"),
    Figure(
        "relative_volume_error",
        "Volume error",
        "predicted minus true volume, relative to the true one",
        1,
        "zero",
        relative=True,
    ),
    Figure(
        "lesion_detection_rate",
        "Lesions found",
        "share of the truth's connected parts of which one voxel or more was predicted",
        3,
        "higher",
    ),
)
"""Of a mask. As of any kind of answer, the first decides, a share of which more is better; three are key."""

KEY = 3
"""How many of a kind's figures are shown where there is room for few."""
_KNOWN = {figure.name: figure for figure in SEGMENTATION}


def figures_among(names: Iterable[str]) -> tuple[Figure, ...]:
    """The figures of some names, in their order; what else was measured, such as a volume, is left out.

    >>> [figure.title for figure in figures_among(["dice", "truth_ml", "nsd"])]
    ['Dice', 'NSD']
    """
    return tuple(_KNOWN[name] for name in names if name in _KNOWN)
