"""What looks wrong about a volume that a model is given: an empty mask is no answer if these say why."""

from collections.abc import Iterator

import numpy as np

from segline.imaging.volume import Volume
from segline.plan import Plan

_LEAST_SHARE = 0.05
"""Of the range that the plan knows: an image that spans less of it was scaled to another."""


def doubts(plan: Plan, volume: Volume) -> list[str]:
    """What is odd about the file, and about its intensities by what the plan knows of the data it is from."""
    return [
        *volume.remarks,
        *(doubt for number in range(len(volume.array)) for doubt in _odd(plan, volume, number)),
    ]


def _odd(plan: Plan, volume: Volume, number: int) -> Iterator[str]:
    if number >= len(plan.channels):
        return
    channel, name = volume.array[number], plan.channels[number]
    lowest, highest = float(channel.min()), float(channel.max())
    if lowest == highest:
        yield f"{name}: every voxel is {lowest:g}"
        return
    rule, above = plan.preprocessing.intensity[number], plan.preprocessing.foreground_above
    if not rule.keeps_unit:
        return
    low, high = rule.display_range(np.array([lowest, highest]))
    span = f"{name}: values from {lowest:g} to {highest:g}"
    if highest <= low or lowest >= high:
        yield f"{span}, all outside the model's {low:g} to {high:g}; another unit, or another kind of image"
    elif highest - lowest < _LEAST_SHARE * (high - low):
        yield f"{span} for the model's {low:g} to {high:g}; they seem to be scaled, give them in their unit"
    elif above is not None and lowest > above:
        yield (
            f"{span}, none at or below {above:g}, which the model knows as outside the patient; "
            "if they are stored with an offset, such as 0 to 4095 for CT, take it away"
        )
