"""A few cases as they look: a usual one, the extremes, and those in which something looks wrong."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from segline.common.wording import counted
from segline.exploration.checks.finding import Finding
from segline.exploration.facts import Facts
from segline.exploration.pictures.slices import Shown, channels, slices
from segline.exploration.sections.listing import listing
from segline.plan import Plan
from segline.plan.preprocessing.normalisation import IntensityWindow, ZScore
from segline.report.html.markup import Html, drawn, element
from segline.report.pictures.overlays import label_legend
from segline.report.pictures.wholes import middle_slice

_MOST_DOUBTFUL = 4
_MOST_CHANNELS = 8
_MOST_CLASSES, _OF_A_CLASS = 12, 4


def cases_section(facts: Facts, findings: Sequence[Finding]) -> Html:
    """Slices with the labels' outlines."""
    if facts.classes:
        return _by_class(facts, findings)
    chosen = choose(facts, findings)
    usual = next(iter(chosen))
    return element(
        "section",
        element("h2", "Cases"),
        element(
            "p",
            "Slices as a radiologist sees them: the patient's right (R) is on the left; each is the one on "
            "which most is labelled.",
        ),
        label_legend(list(facts.foreground.values())) if facts.foreground else None,
        *(_pictured(facts, name, title) for name, title in chosen.items()),
        _all_channels(facts, usual) if len(facts.manifest.modalities) > 1 else None,
        _others(facts, findings, chosen),
        listing(facts, findings),
        id="cases",
    )


def _by_class(facts: Facts, findings: Sequence[Finding]) -> Html:
    """Some images of each class, evenly spread over its names, and doubtful ones."""
    doubtful = list(_doubtful(facts, findings).items())[:_MOST_DOUBTFUL]
    rows = [(name, _some_of(facts, value)) for value, name in list(facts.classes.items())[:_MOST_CLASSES]]
    hidden = len(facts.classes) - len(rows)
    return element(
        "section",
        element("h2", "Cases"),
        element("p", "Some of each class; of volumes, the middle slice."),
        *(_row_of(facts, name, names) for name, names in rows if names),
        element("p", f"{hidden} more of the classes are not pictured.") if hidden > 0 else None,
        *(_row_of(facts, f"{name}: {why}", [name]) for name, why in doubtful),
        _others(facts, findings, dict(doubtful)),
        listing(facts, findings),
        id="cases",
    )


def _some_of(facts: Facts, value: int) -> list[str]:
    names = [case.name for case in facts.cases if case.value == value]
    return names[:: max(1, -(-len(names) // _OF_A_CLASS))]


def _row_of(facts: Facts, title: str, names: Sequence[str]) -> Html:
    def image(name: str) -> Html:
        volume = facts.manifest.image(facts.manifest.case(name))
        return middle_slice(volume, _shown(facts, 0), f"Image of {name}")

    figures = [
        element("figure", drawn(partial(image, name)), element("figcaption", name), class_="panel")
        for name in names
    ]
    return element("div", element("h3", title), element("div", *figures, class_="panels"), class_="case")


def choose(facts: Facts, findings: Sequence[Finding]) -> dict[str, str]:
    """Name and why it is shown: the case of median size, the smallest, the largest, and doubtful ones."""
    sizes = sizes_of(facts)
    ordered = sorted(sizes, key=lambda name: (sizes[name], name))
    what = "labelled volume" if facts.foreground else "field of view"
    doubtful = list(_doubtful(facts, findings).items())[:_MOST_DOUBTFUL]
    wanted = [
        (ordered[(len(ordered) - 1) // 2], f"median {what}"),
        *doubtful,
        (ordered[0], f"smallest {what}"),
        (ordered[-1], f"largest {what}"),
    ]
    chosen: dict[str, str] = {}
    for name, why in wanted:
        chosen[name] = f"{chosen[name]}; {why}" if name in chosen else why
    return chosen


def sizes_of(facts: Facts) -> dict[str, float]:
    """Labelled millilitres of each case; where nothing is labelled anywhere, millilitres in view."""
    totals = dict.fromkeys(facts.measures.keys() - facts.misscaled, 0.0)
    for value in facts.foreground:
        for name, ml in facts.millilitres(value).items():
            totals[name] += ml
    if any(totals.values()):
        return totals
    return {
        name: float(np.prod(spacing) * np.prod(shape)) / 1000
        for name, (spacing, shape) in facts.geometry.items()
        if name not in facts.misscaled
    }


def _doubtful(facts: Facts, findings: Sequence[Finding]) -> dict[str, str]:
    """Cases of which something is wrong or odd, one of each check."""
    told: dict[str, str] = {}
    checks: set[str] = set()
    for finding in _grave(facts, findings):
        if finding.case and finding.case not in told and finding.check not in checks:
            told[finding.case] = f"{finding.check}: {finding.what}"
            checks.add(finding.check)
    return told


def _pictured(facts: Facts, name: str, title: str) -> Html:
    case = facts.manifest.case(name)
    head = element("h3", f"{name}: {title}")
    return element("div", head, drawn(lambda: slices(facts.manifest, case, _shown(facts, 0))), class_="case")


def _all_channels(facts: Facts, name: str) -> Html:
    some = facts.manifest.modalities[:_MOST_CHANNELS]
    few = facts.manifest.model_copy(update={"modalities": some})
    shown = [_shown(facts, channel) for channel in range(len(some))]
    head = element("h3", f"{name}: its channels")
    return element("div", head, drawn(lambda: channels(few, facts.manifest.case(name), shown)), class_="case")


def _shown(facts: Facts, channel: int) -> Shown:
    """As the plan's rule shows it; where there is no plan, as one would that is proposed."""
    if isinstance(facts.plan, Plan):
        return facts.plan.preprocessing.intensity[channel].display_range
    if facts.is_ct(channel) and not isinstance(facts.fingerprint, Exception):
        low, _, high = facts.fingerprint.foreground_percentiles[channel]
        if high > low:
            return IntensityWindow(window=(low, high)).display_range
    return ZScore().display_range


def _others(facts: Facts, findings: Sequence[Finding], chosen: dict[str, str]) -> Html | None:
    named = {one.case for one in _grave(facts, findings)}
    count = len(named - chosen.keys())
    if not count:
        return None
    verb = "is" if count == 1 else "are"
    return element("p", f"{counted(count, 'more case')} named above {verb} not pictured.")


def _grave(facts: Facts, findings: Sequence[Finding]) -> list[Finding]:
    """Of cases that can be pictured, what is wrong or odd."""
    return [one for one in findings if one.case in facts.measures and one.level in ("wrong", "odd")]
