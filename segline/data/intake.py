"""Intake: new cases are checked before they may train; a bad one is set aside with its reason."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from segline.common.documents import Document
from segline.data.fingerprint import PERCENTILES, ras_geometry
from segline.data.manifest import CaseEntry, Manifest
from segline.data.portraits import SAME_LIKENESS, SAME_SLICE, Percentiles, Portrait
from segline.data.targets.label_maps import lost_voxels
from segline.data.verification import Survey
from segline.imaging.preprocessing import Preprocessor
from segline.plan import Plan

NOTHING_NEW = "nothing new"

Check = Literal["files", "geometry", "labels", "intensity", "duplicate", "leakage"]
Fault = tuple[Check, str]
"""The check that failed, and in words why."""


class Limits(BaseModel):
    """How far a new case may lie from the known ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    geometry_factor: float = Field(default=2.0, ge=1)
    """Of spacing and extent: below the smallest known one by it, or above the largest."""
    intensity_ranges: float = Field(default=0.5, gt=0)
    """Of percentiles beyond the known ones, in units of the known range from the 0.5th to the 99.5th."""
    likeness: float = Field(default=SAME_LIKENESS, gt=0, le=1)
    """From which two images are one."""
    slice_likeness: float = Field(default=SAME_SLICE, gt=0, le=1)
    """The same of single slices."""


class Quarantined(BaseModel):
    """A case that was set aside."""

    model_config = ConfigDict(frozen=True)

    case: str
    check: Check
    """The first that it failed."""
    reason: str


class Quarantine(Document):
    """What an intake set aside. It names cases as the data set does, and stays with it."""

    kind = "a quarantine list"
    stage = "intake"

    new: int
    """Cases that were not known before, these among them."""
    cases: tuple[Quarantined, ...]
    """Sorted by name."""


@dataclass(frozen=True)
class Intake:
    """What may train, and what may not."""

    accepted: Manifest
    """Known and new cases; its digest is the known one's where nothing new was accepted."""
    quarantine: Quarantine


def take_in(
    survey: Survey,
    known: Manifest,
    plan: Plan,
    records: Path,
    limits: Limits | None = None,
    workers: int = 2,
) -> Intake:
    """Check every case of ``survey`` that ``known`` does not hold in the same content.

    Args:
        survey: the data set as it is now.
        known: the data set that the champion was trained on, whose files can still be read.
        plan: the champion's: its split says which cases must not be learned from.
        records: folder that keeps portraits of cases by content.
        limits: how far a new case may lie from the known ones.
        workers: threads that read cases.

    Raises:
        SeglineError: a known case's files cannot be read.
    """
    old = {case.name: case.digest for case in known.cases}
    new = [case for case in survey.manifest.cases if old.get(case.name) != case.digest]

    def portraits(manifest: Manifest, cases: Sequence[CaseEntry]) -> list[tuple[CaseEntry, Portrait]]:
        with ThreadPoolExecutor(workers) as pool:
            drawn = pool.map(lambda case: Portrait.recorded(manifest, case, records), cases)
            return list(zip(cases, drawn, strict=True))

    judge = _Judge(known, survey.manifest, plan, portraits(known, known.cases), limits or Limits())
    looked_at = [judge.look_at(case, portrait) for case, portrait in portraits(survey.manifest, new)]
    aside = [Quarantined(case=fault.case, check="files", reason=str(fault.error)) for fault in survey.faults]
    aside += [case for case in looked_at if case]
    refused = {case.case for case in aside}
    accepted = tuple(case for case in survey.manifest.cases if case.name not in refused)
    twins = tuple(group for group in survey.manifest.twins if not refused & {*group})
    return Intake(
        accepted=survey.manifest.model_copy(update={"cases": accepted, "twins": twins}),
        quarantine=Quarantine(
            new=len(new) + len(survey.faults), cases=tuple(sorted(aside, key=lambda case: case.case))
        ),
    )


class _Judge:
    """Looks at new cases one after another; those it accepts count for the next ones' duplicates."""

    def __init__(
        self,
        known: Manifest,
        incoming: Manifest,
        plan: Plan,
        portraits: Sequence[tuple[CaseEntry, Portrait]],
        limits: Limits,
    ) -> None:
        self.known = known
        self.incoming = incoming
        self.plan = plan
        self.known_portraits = tuple(portrait for _, portrait in portraits)
        self.seen = {case.name: portrait for case, portrait in portraits}
        self.held_back = {*plan.split.val, *plan.split.test}
        self.limits = limits

    def look_at(self, case: CaseEntry, portrait: Portrait) -> Quarantined | None:
        """The first check that the case fails, if any."""
        checks = (self._name, self._likeness, self._geometry, self._label, self._intensity)
        for check, reason in (fault for find in checks for fault in find(case, portrait)):
            return Quarantined(case=case.name, check=check, reason=reason)
        self.seen[case.name] = portrait
        return None

    def _name(self, case: CaseEntry, _: Portrait) -> Iterator[Fault]:
        if case.name in self.held_back:
            yield (
                "leakage",
                "held back from training under this name with other content; what is measured against is not "
                "changed: give the new case another name",
            )

    def _likeness(self, case: CaseEntry, portrait: Portrait) -> Iterator[Fault]:
        """A known name with new content is a correction, which may look like what it corrects."""
        for name, other in self.seen.items():
            limit = self.limits.likeness if min(case.shape) > 1 else self.limits.slice_likeness
            if name == case.name or not (same := _same_image(portrait, other, limit)):
                continue
            if name in self.held_back:
                yield "leakage", f"{same} case {name}, which is held back from training"
            else:
                yield "duplicate", f"{same} case {name}"

    def _geometry(self, case: CaseEntry, _: Portrait) -> Iterator[Fault]:
        factor = self.limits.geometry_factor
        mine, known = _lengths_mm(case), [_lengths_mm(other) for other in self.known.cases]
        for what, value in mine.items():
            among = [lengths[what] for lengths in known]
            if not min(among) / factor <= value <= max(among) * factor:
                yield (
                    "geometry",
                    f"{what} is {value:.4g} mm; of the known cases {min(among):.4g} to {max(among):.4g} mm",
                )

    def _label(self, case: CaseEntry, _: Portrait) -> Iterator[Fault]:
        if case.label and (missed := self._lost(case)):
            yield (
                "labels",
                f"{missed} labelled voxels lie outside the champion's crop, above "
                f"{self.plan.preprocessing.foreground_above:g}",
            )
        if not _is_labelled(case) and all(_is_labelled(other) for other in self.known.cases):
            yield "labels", "no voxel is labelled; every known case has some"

    def _lost(self, case: CaseEntry) -> int:
        """Labelled voxels that the champion's crop leaves out."""
        if self.plan.preprocessing.foreground_above is None:
            return 0
        placement = Preprocessor(self.plan.preprocessing).place(self.incoming.image(case))
        return lost_voxels(self.incoming.labelled(case), placement)

    def _intensity(self, _: CaseEntry, portrait: Portrait) -> Iterator[Fault]:
        """A z-score takes a channel's unit away; there only an image of one value is odd."""
        for channel, rule in enumerate(self.plan.preprocessing.intensity):
            name, mine = self.plan.channels[channel], portrait.image[channel]
            if mine[0] == mine[2]:
                yield "intensity", f"{name}: nearly every voxel is {mine[0]:g}"
            if not rule.keeps_unit:
                continue
            known = [other.image[channel] for other in self.known_portraits]
            yield from self._far(f"{name}, all voxels", mine, known)
            if portrait.foreground:
                labelled = [other.foreground[channel] for other in self.known_portraits if other.foreground]
                yield from self._far(f"{name}, labelled voxels", portrait.foreground[channel], labelled)

    def _far(self, what: str, mine: Percentiles, known: Sequence[Percentiles]) -> Iterator[Fault]:
        """A percentile further beyond the known cases' than a share of their whole range."""
        if not known:
            return
        slack = self.limits.intensity_ranges * (max(p[2] for p in known) - min(p[0] for p in known))
        for number, percent in enumerate(PERCENTILES):
            low, high = min(p[number] for p in known), max(p[number] for p in known)
            if not low - slack <= mine[number] <= high + slack:
                yield (
                    "intensity",
                    f"{what}: percentile {percent:g} is {mine[number]:.4g}, of the known cases {low:.4g} to "
                    f"{high:.4g}; wrong unit, or the label lies elsewhere",
                )


def _same_image(portrait: Portrait, other: Portrait, limit: float) -> str:
    if portrait.voxels_sha256 == other.voxels_sha256:
        return "has every voxel of"
    likeness = portrait.likeness(other)
    return f"looks like (correlation {likeness:.4f})" if likeness >= limit else ""


def _lengths_mm(case: CaseEntry) -> dict[str, float]:
    """Spacing and extent along each axis in RAS order, by what they are called."""
    spacing, shape = ras_geometry(case)
    along = zip("xyz", spacing, shape, strict=True)
    return {
        name: value
        for axis, mm, voxels in along
        for name, value in ((f"spacing along {axis}", mm), (f"extent along {axis}", mm * voxels))
    }


def _is_labelled(case: CaseEntry) -> bool:
    return any(voxels for value, voxels in case.label_voxels.items() if value > 0)
