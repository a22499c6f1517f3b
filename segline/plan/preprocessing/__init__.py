"""The preprocessing part of a plan."""

from collections.abc import Sequence
from typing import Literal

from segline.plan.part import Distance, Part, Spacing
from segline.plan.preprocessing.normalisation import Intensity

CROP_MARGIN_MM = 10.0


class Preprocessing(Part):
    """From a file's grid to the plan's grid. Only this part (and the raw files) decides a cached case."""

    orientation: Literal["RAS"] = "RAS"
    spacing_mm: Spacing
    intensity: tuple[Intensity, ...]
    """One rule a channel."""
    foreground_above: float | None
    """Crop to the box of voxels above this raw value in any channel; ``None`` keeps the whole volume."""
    margin_mm: Distance = CROP_MARGIN_MM
    """Kept around the foreground box."""

    def rules_in_words(self, channels: Sequence[str]) -> list[str]:
        """Each rule of intensity once, after the names of the channels that have it."""
        names: dict[str, list[str]] = {}
        for channel, rule in zip(channels, self.intensity, strict=True):
            names.setdefault(rule.words, []).append(channel)
        return [f"{', '.join(those)}: {words}" for words, those in names.items()]
