"""What the images' numbers look like: units, constant images, scales."""

from collections.abc import Iterator

from segline.exploration.checks.finding import Finding, in_times, is_rule, median, some_of
from segline.exploration.facts import Facts
from segline.exploration.measures import ChannelMeasures
from segline.report.html.wording import percent

_EMPTY_SHARE = 0.99
"""Of equal voxels, from which an image shows nearly nothing."""
_NO_AIR_ABOVE_HU = -200.0
_AIR_BELOW_HU = -500.0
_OFFSET_HU = 500.0
_SCALE_FACTOR = 10.0
"""Between ranges of values, from which they are on another scale."""

_FEW_SHARE = 0.05
"""Of the cases; more of them on a scale of their own are told once, where values have no unit."""

Channels = dict[str, ChannelMeasures]


def flat_images(facts: Facts) -> Iterator[Finding]:
    """Images in which nearly every voxel is the same."""
    for name, measures in facts.measures.items():
        for channel, measured in zip(facts.manifest.modalities, measures.channels, strict=True):
            if measured.lowest == measured.highest:
                what, share = f"{channel}: every voxel is {decimal_of(measured.lowest)}", "100 %"
            elif measured.same_share >= _EMPTY_SHARE:
                share = percent(measured.same_share, 2)
                what = f"{channel}: nearly every voxel is {decimal_of(measured.median)}"
            else:
                continue
            remedy = "take the case out, or fetch its image again"
            yield Finding("wrong", "Constant or nearly empty image", name, what, share, remedy)


def units(facts: Facts) -> Iterator[Finding]:
    """Images whose values are in another unit or on another scale than the rest's."""
    for number in range(len(facts.manifest.modalities)):
        channels = {name: measures.channels[number] for name, measures in facts.measures.items()}
        varied = {name: one for name, one in channels.items() if one.high > one.low}
        if varied:
            yield from _scales(facts, number, varied)
        if varied and facts.is_ct(number):
            yield from _offsets(facts, number, varied)


def _scales(facts: Facts, number: int, channels: Channels) -> Iterator[Finding]:
    """Against the median range; where many differ that have no unit, that is the data set's way."""
    usual = median(one.high - one.low for one in channels.values())
    off = {
        name: one
        for name, one in channels.items()
        if not usual / _SCALE_FACTOR <= one.high - one.low <= usual * _SCALE_FACTOR
    }
    channel = facts.manifest.modalities[number]
    few = is_rule(len(channels) - len(off), len(channels))
    if off and not (few and (facts.is_ct(number) or len(off) <= max(1, _FEW_SHARE * len(channels)))):
        yield Finding(
            level="remark",
            check="Scale of intensities",
            case=None,
            what=f"{channel}: values span more or less than {_SCALE_FACTOR:g} times the median range in "
            f"{some_of(off)}; from case to case {_widths(channels)}",
            number=f"{len(off)} of {len(channels)} cases",
            remedy="nothing where each case is normalised by itself, as by a z-score; see the plan below",
        )
        return
    for name, one in sorted(off.items()):
        remedy = "store it in HU as the others are" if facts.is_ct(number) else "see how it was exported"
        yield Finding(
            level="wrong" if facts.is_ct(number) else "odd",
            check="Values on another scale",
            case=name,
            what=f"{channel}: its values span {in_times((one.high - one.low) / usual)} the median range",
            number=f"{decimal_of(one.low)} to {decimal_of(one.high)}",
            remedy=remedy,
        )


def _offsets(facts: Facts, number: int, channels: Channels) -> Iterator[Finding]:
    """CT without air whose tissue is as much too bright."""
    airless = {name: one for name, one in channels.items() if one.lowest > _NO_AIR_ABOVE_HU}
    channel = facts.manifest.modalities[number]
    if is_rule(len(airless), len(channels)) or len(airless) == len(channels):
        yield Finding(
            level="odd",
            check="Values with an offset",
            case=None,
            what=f"{channel}: hardly a case goes below {decimal_of(_NO_AIR_ABOVE_HU)}; is it stored in HU?",
            number=f"lowest value {decimal_of(min(one.lowest for one in channels.values()))}",
            remedy="take the offset away if there is one, such as 1024; else declare another modality",
        )
        return
    others = [one for name, one in channels.items() if name not in airless and one.lowest < _AIR_BELOW_HU]
    for name, one in sorted(airless.items()):
        brighter = one.bright - median(other.bright for other in others) if others else 0.0
        if brighter > _OFFSET_HU:
            yield Finding(
                level="wrong",
                check="Values with an offset",
                case=name,
                what=f"{channel}: no value is below {decimal_of(one.lowest)}, most cases have air at −1000",
                number=f"{decimal_of(one.lowest)} to {decimal_of(one.highest)}",
                remedy="take away the offset that it is stored with, such as 1024, to give HU",
            )


def _widths(channels: Channels) -> str:
    widths = [one.high - one.low for one in channels.values()]
    return f"{decimal_of(min(widths))} to {decimal_of(max(widths))}"


def decimal_of(value: float) -> str:
    """A number with as many digits as are worth reading.

    >>> decimal_of(-27.8253), decimal_of(307812.4)
    ('−27.83', '307812')
    """
    return (f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}").replace("-", "−")
