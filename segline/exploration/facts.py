"""What is known of a data set once it was looked at, before anybody judges it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.data.cases.case import Case
from segline.data.declarations.unlabelled import count_unlabelled
from segline.data.fingerprint import Fingerprint, fingerprint_of, ras_geometry
from segline.data.manifest import CaseEntry, Manifest
from segline.data.targets import Targets
from segline.data.verification import Fault, Survey, refusal, survey
from segline.exploration.measures import CaseMeasures
from segline.exploration.measuring import measure
from segline.imaging.geometry import Shape
from segline.plan import Plan, Task
from segline.training.batches.patches import Sampler


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
    """What would be proposed, or why nothing can be."""

    @classmethod
    def of(
        cls, root: Path, task: Task, parts: KindParts, workers: int, progress: Progress = silent
    ) -> "Facts":
        """Verify and measure the cases of a folder with ``dataset.json``, and propose a plan for them.

        Raises:
            SeglineError: there is no such folder, it declares no data set, none of its cases can be read, or
                a process was killed.
        """
        surveyed = survey(root, None, workers, progress, parts.targets)
        measured = measure(_some(surveyed), workers, progress)
        late = tuple(one for one in measured.values() if isinstance(one, Fault))
        measures = {name: one for name, one in measured.items() if not isinstance(one, Fault)}
        sound = _only(surveyed.manifest, measures)
        manifest, faults = _some(Survey(sound, (*surveyed.faults, *late))), (*surveyed.faults, *late)
        size = sum(
            Path(manifest.root, file.path).stat().st_size for case in sound.cases for file in case.files
        )
        fingerprint, plan = _proposed(manifest, measures, task, parts)
        return cls(manifest, faults, count_unlabelled(root), size, measures, task, fingerprint, plan)

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

    @cached_property
    def geometry(self) -> dict[str, tuple[tuple[float, float, float], Shape]]:
        """Spacing in mm and voxels of each case, axes in RAS order."""
        return {case.name: ras_geometry(case) for case in self.cases}

    def millilitres(self, value: int) -> dict[str, float]:
        """Volume of a label in each case that has it."""
        return {
            case.name: case.label_voxels[value] * _voxel_ml(case)
            for case in self.mapped
            if case.label_voxels.get(value)
        }

    def unit(self, channel: int) -> str:
        """Of a channel's values, by the name that is declared."""
        return "HU" if self.is_ct(channel) else "value as stored"

    def is_ct(self, channel: int) -> bool:
        """Whether it is declared to be CT."""
        return self.manifest.modalities[channel].upper() == "CT"


def _voxel_ml(case: CaseEntry) -> float:
    x, y, z = case.spacing_mm
    return x * y * z / 1000


def _some(surveyed: Survey) -> Manifest:
    """Raise SeglineError where not one case is sound."""
    if not surveyed.manifest.cases:
        raise refusal(surveyed.faults)
    return surveyed.manifest


def _only(manifest: Manifest, names: Mapping[str, CaseMeasures]) -> Manifest:
    cases = tuple(case for case in manifest.cases if case.name in names)
    return manifest.model_copy(update={"cases": cases})


def _proposed(
    manifest: Manifest, measures: Mapping[str, CaseMeasures], task: Task, parts: KindParts
) -> tuple[Fingerprint | SeglineError, Plan | SeglineError]:
    try:
        fingerprint = fingerprint_of(manifest, [measures[case.name].fingerprint for case in manifest.cases])
    except SeglineError as error:
        return error, error
    try:
        return fingerprint, parts.propose(manifest, fingerprint, task)
    except SeglineError as error:
        return fingerprint, error
