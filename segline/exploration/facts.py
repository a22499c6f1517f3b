"""What is known of a data set once it was looked at, before anybody judges it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.data.cases.case import Case
from segline.data.declarations.unlabelled import count_unlabelled
from segline.data.fingerprint import Fingerprint, fingerprint_of, ras_geometry
from segline.data.manifest import CaseEntry, Manifest
from segline.data.targets import Targets
from segline.data.verification import Fault, refusal, survey
from segline.exploration.measures import CaseMeasures
from segline.exploration.measuring import measure
from segline.imaging.geometry import Shape, Spacing
from segline.plan import Plan, Task
from segline.training.batches.patches import Sampler

Geometry = Mapping[str, tuple[Spacing, Shape]]
"""Spacing in mm and voxels of cases, axes in RAS order."""
_UNIT_FACTOR = 50.0
"""Between a spacing and the median, from which one of them is in another unit."""


class KindParts(NamedTuple):
    """What a kind of task does in its own way, as far as its data set shows it."""

    targets: Targets
    propose: Callable[[Manifest, Fingerprint, Task], Plan]
    sampler: Callable[[Plan, Sequence[Case]], Sampler]


@dataclass(frozen=True)
class Facts:
    """A data set, as far as it could be read."""

    manifest: Manifest
    """Of the cases that were read."""
    faults: tuple[Fault, ...]
    """The others, and why."""
    unlabelled: int
    """Images that are declared for nothing but prediction."""
    size_bytes: int
    """Of the files of the cases that were read."""
    measures: Mapping[str, CaseMeasures]
    """By case, in the manifest's order."""
    task: Task
    fingerprint: Fingerprint | SeglineError
    plan: Plan | SeglineError
    """What would be proposed without :attr:`misscaled` cases, or why nothing can be."""

    @classmethod
    def of(
        cls, root: Path, task: Task, parts: KindParts, workers: int, progress: Progress = silent
    ) -> "Facts":
        """Verify and measure the cases of a folder, and propose a plan for them.

        Raises:
            SeglineError: there is no such folder, it declares no data set, none of its cases can be read, or
                a process was killed.
        """
        surveyed = survey(root, None, workers, progress, parts.targets)
        _require_some(surveyed.manifest, surveyed.faults)
        measured = measure(surveyed.manifest, workers, progress)
        measures = {name: one for name, one in measured.items() if not isinstance(one, Fault)}
        faults = (*surveyed.faults, *(one for one in measured.values() if isinstance(one, Fault)))
        manifest = _only(surveyed.manifest, measures.keys())
        _require_some(manifest, faults)
        size = sum(
            Path(manifest.root, file.path).stat().st_size for case in manifest.cases for file in case.files
        )
        unlabelled = count_unlabelled(root)
        fingerprint, plan = _proposed(manifest, measures, task, parts)
        return cls(manifest, faults, unlabelled, size, measures, task, fingerprint, plan)

    @property
    def cases(self) -> tuple[CaseEntry, ...]:
        """That were read, sorted by name."""
        return self.manifest.cases

    @property
    def mapped(self) -> list[CaseEntry]:
        """Cases with a label map."""
        return [case for case in self.cases if case.label]

    @property
    def foreground(self) -> dict[int, str]:
        """Label value to name, without the background, where cases have label maps."""
        return {value: name for value, name in self.manifest.labels.items() if value} if self.mapped else {}

    @property
    def classes(self) -> dict[int, str]:
        """Value to name of the classes, where each case has one."""
        values = {case.value for case in self.cases}
        return self.manifest.labels if values <= self.manifest.labels.keys() else {}

    @cached_property
    def geometry(self) -> Geometry:
        """Spacing in mm and voxels of each case, axes in RAS order."""
        return _geometry(self.manifest)

    @cached_property
    def misscaled(self) -> set[str]:
        """Names of the cases whose spacing is in another unit; no other length can be judged by it."""
        return misscaled_cases(self.geometry)

    def millilitres(self, value: int) -> dict[str, float]:
        """Volume of a label in each case that has it, and whose spacing is in mm."""
        return {
            case.name: case.label_voxels[value] * _voxel_ml(case)
            for case in self.mapped
            if case.label_voxels.get(value) and case.name not in self.misscaled
        }

    def unit(self, channel: int) -> str:
        """Of a channel's values, by the name that is declared."""
        return "HU" if self.is_ct(channel) else "value as stored"

    def is_ct(self, channel: int) -> bool:
        """Whether it is declared to be CT."""
        return self.manifest.modalities[channel].upper() == "CT"


def misscaled_cases(geometry: Geometry) -> set[str]:
    """Names of the cases whose spacing is far off the median along all axes."""
    middle = median_spacing(geometry)
    ratios = {name: np.array(spacing) / middle for name, (spacing, _) in geometry.items()}
    return {
        name
        for name, ratio in ratios.items()
        if (ratio > _UNIT_FACTOR).all() or (ratio < 1 / _UNIT_FACTOR).all()
    }


def median_spacing(geometry: Geometry) -> np.ndarray:
    """In mm along each axis."""
    return np.asarray(np.median([spacing for spacing, _ in geometry.values()], axis=0))


def _geometry(manifest: Manifest) -> Geometry:
    return {case.name: ras_geometry(case) for case in manifest.cases}


def _voxel_ml(case: CaseEntry) -> float:
    x, y, z = case.spacing_mm
    return x * y * z / 1000


def _require_some(manifest: Manifest, faults: Sequence[Fault]) -> None:
    """Raise SeglineError where not one case is sound."""
    if not manifest.cases:
        raise refusal(faults)


def _only(manifest: Manifest, names: Collection[str]) -> Manifest:
    cases = tuple(case for case in manifest.cases if case.name in names)
    groups = (tuple(name for name in group if name in names) for group in manifest.twins)
    twins = tuple(group for group in groups if len(group) > 1)
    return manifest.model_copy(update={"cases": cases, "twins": twins})


def _proposed(
    manifest: Manifest, measures: Mapping[str, CaseMeasures], task: Task, parts: KindParts
) -> tuple[Fingerprint | SeglineError, Plan | SeglineError]:
    misscaled = misscaled_cases(_geometry(manifest))
    manifest = _only(manifest, measures.keys() - misscaled)
    try:
        fingerprint = fingerprint_of(manifest, [measures[case.name].fingerprint for case in manifest.cases])
    except SeglineError as error:
        return error, error
    try:
        return fingerprint, parts.propose(manifest, fingerprint, task)
    except SeglineError as error:
        return fingerprint, error
