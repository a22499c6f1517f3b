"""Why an input lies too far from what was learned: known faults that would explain it, then what is odd."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from segline.imaging.geometry import Affine
from segline.imaging.volume import Volume
from segline.inference.familiarity.domains import Domain
from segline.inference.familiarity.profiles import Profile
from segline.inference.familiarity.references import AXES, Aspect, Beyond
from segline.plan import Plan

_TURNED = {"x": "mirrored left to right", "y": "turned front to back", "z": "upside down"}
_FACTORS = (10.0, 1000.0, 0.1, 0.001)
"""Between millimetres and what lengths are told in by mistake."""
_OFFSETS = (1024.0, -1024.0, 1000.0)
"""What CT is stored with, so that no value is negative."""
_LEAST_SHARE = 0.05
"""Of a rule's window: values that span less of it were scaled to another."""
_EXPLAINED = 0.5
"""A fault that is taken away must leave less than this share of the distance."""
_MOST_VOXELS = 2_000_000
"""Of the copy that faults are tried on."""


_EXPLAINS: Mapping[str, tuple[Aspect, ...]] = {
    "unit": ("spacing", "extent"),
    "scaled": ("values", "layout", *AXES),
    "offset": ("values", "layout", *AXES),
    "turned": ("layout", *AXES),
}
"""The aspects in which each fault lets a case look odd."""


class Reason(NamedTuple):
    """One reason, and what it is about in one word."""

    kind: str
    text: str


def reasons_of(domain: Domain, plan: Plan, volume: Volume, case: Profile) -> list[Reason]:
    """Of a case that lies beyond the threshold."""
    faults = [
        *_unit_of_length(domain, case),
        *_unit_of_values(domain, plan, volume),
        *_turned(domain, case),
    ]
    explained = {aspect for fault in faults for aspect in _EXPLAINS[fault.kind]}
    odd = {aspect: far for aspect, far in domain.too_far(case).items() if aspect not in explained}
    for aspect, far in odd.items():
        faults += _odd(domain, plan, case, aspect, far)
    return faults


def _odd(domain: Domain, plan: Plan, case: Profile, aspect: Aspect, distance: float) -> list[Reason]:
    """What is odd in an aspect that no known fault explains."""
    if aspect == "layout":
        text = f"another part of the body, or another kind of image: {distance:.3g} times as far as is usual"
        return [Reason("layout", text)]
    if aspect in AXES:
        text = f"is not laid out along {aspect} as what was learned: {distance:.3g} times as far as is usual"
        return [Reason("layout", text)]
    return [Reason(aspect, _told(plan, figure)) for figure in domain.figures_too_far(case, aspect)]


def _unit_of_length(domain: Domain, case: Profile) -> Iterator[Reason]:
    """Whether all lengths, divided by a power of ten, are what was learned."""
    if not _far_in_lengths(domain, case):
        return
    for factor in _FACTORS:
        spacing, extent = ([mm / factor for mm in lengths] for lengths in (case.spacing_mm, case.extent_mm))
        if not _far_in_lengths(domain, case.model_copy(update={"spacing_mm": spacing, "extent_mm": extent})):
            more = f"{factor:g} times too large" if factor > 1 else f"{1 / factor:g} times too small"
            voxel = " x ".join(f"{mm:.3g}" for mm in case.spacing_mm)
            yield Reason("unit", f"lengths look {more}, voxels of {voxel} mm: told in another unit")
            return


def _far_in_lengths(domain: Domain, case: Profile) -> bool:
    return bool({"spacing", "extent"} & domain.too_far(case).keys())


def _unit_of_values(domain: Domain, plan: Plan, volume: Volume) -> Iterator[Reason]:
    """Whether values are scaled, or stored with an offset, where the plan knows their unit."""
    rules = plan.preprocessing.intensity
    if len(volume.array) != len(rules) or not all(rule.keeps_unit for rule in rules):
        return
    coarse = _coarse(volume)
    low, high = float(coarse.array.min()), float(coarse.array.max())
    lower, upper = rules[0].display_range(coarse.array)
    if high - low < _LEAST_SHARE * (upper - lower):
        told = f"values from {low:.3g} to {high:.3g} for the model's {lower:g} to {upper:g}: they look scaled"
        yield Reason("scaled", told)
        return
    before = _values_alone(domain, Profile.of_volume(plan, coarse))
    for offset in _OFFSETS if before > domain.threshold else ():
        shifted = coarse.with_array(coarse.array.astype(np.float32) - np.float32(offset))
        after = _values_alone(domain, Profile.of_volume(plan, shifted))
        if after < _EXPLAINED * before and after <= 2 * domain.threshold:
            yield Reason(
                "offset",
                f"values look like CT stored with an offset of {offset:g}: without it, "
                f"they would lie {after:.3g} from what was learned instead of {before:.3g}",
            )
            return


def _values_alone(domain: Domain, case: Profile) -> float:
    """The distance, without what no offset changes."""
    return domain.distance_in(case, ("values", "layout"))


def _coarse(volume: Volume) -> Volume:
    """Every few voxels of it."""
    every = max(1, int(np.ceil((volume.array[0].size / _MOST_VOXELS) ** (1 / 3))))
    affine: Affine = volume.affine @ np.diag([every, every, every, 1.0])
    return Volume(volume.array[:, ::every, ::every, ::every], affine)


def _turned(domain: Domain, case: Profile) -> Iterator[Reason]:
    """Whether it is as what was learned once it is turned around."""
    far = domain.too_far(case)
    for number, axis in enumerate(AXES):
        if axis not in far:
            continue
        before = domain.distance_in(case, ("layout", axis))
        after = domain.distance_in(case.turned(number), ("layout", axis))
        if after < _EXPLAINED * before:
            yield Reason(
                "turned",
                f"looks {_TURNED[axis]}: turned, it would lie {after:.2g} from what was learned "
                f"instead of {before:.2g}",
            )
            return


def _told(plan: Plan, figure: Beyond) -> str:
    """In words, with the range that was learned."""
    learned = f"learned from {figure.low:.3g} to {figure.high:.3g}"
    if figure.aspect == "spacing":
        return f"spacing along {figure.name} is {figure.value:.3g} mm, {learned} mm"
    if figure.aspect == "extent":
        return f"field of view along {figure.name} is {figure.value:.4g} mm, {learned} mm"
    if figure.aspect == "tilt":
        return f"axes are tilted by {figure.value:.3g} degrees, {learned}"
    if figure.aspect == "volume":
        found = f"fills {figure.value:.4g} ml" if figure.value else "is not found"
        return f"{figure.name} {found}, {learned} ml"
    return _told_of_values(plan, figure)


def _told_of_values(plan: Plan, figure: Beyond) -> str:
    channel = int(figure.name)
    rule, name = plan.preprocessing.intensity[channel], plan.channels[channel]
    low, high = rule.display_range(np.zeros(1)) if rule.keeps_unit else (0.0, 1.0)
    value, least, most = (low + part * (high - low) for part in (figure.value, figure.low, figure.high))
    within = f"within {low:g} to {high:g}" if rule.keeps_unit else "after normalisation"
    return (
        f"{name}: percentile {figure.percent:g} of the values is {value:.3g} {within}, "
        f"learned from {least:.3g} to {most:.3g}"
    )
