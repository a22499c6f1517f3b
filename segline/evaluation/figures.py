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
    undefined: str = "undefined for this case"
    """Why there may be none."""
    whole: bool = False
    """Missing for the case where one label lacks it: the worst there is, which a mean would hide."""

    yes_or_no: bool = False
    """Of a case it is 1 or 0: one that changes sides says what the mean says, and no more."""

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


_KNOWN: dict[str, Figure] = {}


def declared(*figures: Figure) -> tuple[Figure, ...]:
    """The figures of a kind of task, which records name from now on.

    The first decides, a share of which more is better; three are key.

    Raises:
        ValueError: a name is another figure's already.
    """
    for figure in figures:
        if _KNOWN.setdefault(figure.name, figure) != figure:
            raise ValueError(f"figure {figure.name}: there is another of this name")
    return figures


_EMPTY = "undefined: the true or the predicted mask is empty"
SEGMENTATION = declared(
    Figure("dice", "Dice", "overlap of prediction and truth, 0 to 1", 3, "higher", undefined=_EMPTY),
    Figure(
        "nsd",
        "NSD",
        "share of the surfaces that lie within the tolerance, 0 to 1",
        3,
        "higher",
        undefined=_EMPTY,
    ),
    Figure(
        "hd95_mm",
        "HD95",
        "95th percentile of the distances between surfaces",
        1,
        "lower",
        unit="mm",
        undefined=_EMPTY,
        whole=True,
    ),
    Figure(
        "sensitivity",
        "Sensitivity",
        "share of the true voxels that were found",
        3,
        "higher",
        undefined=_EMPTY,
    ),
    Figure(
        "relative_volume_error",
        "Volume error",
        "predicted minus true volume, relative to the true one",
        1,
        "zero",
        relative=True,
        undefined=_EMPTY,
    ),
    Figure(
        "lesion_detection_rate",
        "Lesions found",
        "share of the truth's connected parts of which one voxel or more was predicted",
        3,
        "higher",
        undefined=_EMPTY,
    ),
)
"""Of a mask."""
CLASSIFICATION = declared(
    Figure("accuracy", "Accuracy", "share of the cases whose class was found", 3, "higher", yes_or_no=True),
    Figure("true_class", "Probability of the true class", "mean over cases, 0 to 1", 3, "higher"),
    Figure("log_loss", "Log loss", "minus the logarithm of that probability", 3, "lower"),
)
"""Of a class."""

KEY = 3
"""How many of a kind's figures are shown where there is room for few."""


def figures_among(names: Iterable[str]) -> tuple[Figure, ...]:
    """The figures of some names, in their order; what else was measured, such as a volume, is left out.

    >>> [figure.title for figure in figures_among(["dice", "truth_ml", "nsd"])]
    ['Dice', 'NSD']
    """
    return tuple(_KNOWN[name] for name in names if name in _KNOWN)


def titled(name: str) -> str:
    """The title of a figure."""
    return _KNOWN[name].title
