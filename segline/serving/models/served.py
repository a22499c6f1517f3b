"""A model that is served: opened once, with its name and digests, for many volumes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from segline.backends import Backend
from segline.backends.choice import AUTO, open_chosen
from segline.common.digests import sha256_of_file, sha256_of_json
from segline.imaging.declared import Declared
from segline.imaging.dicom.algorithm import Algorithm
from segline.imaging.geometry import as_shape
from segline.imaging.preprocessing import PREPROCESSING_VERSION
from segline.imaging.volume import Volume
from segline.inference.doubts import doubts
from segline.inference.familiarity.domains import Domain
from segline.inference.familiarity.judging import Familiarity, familiarity
from segline.inference.stitching import WindowScorer
from segline.inference.stopwatch import Stopwatch
from segline.inference.tiling import Tiling
from segline.kinds import kind_of
from segline.model.package import Model
from segline.plan import Plan, batch_bytes

if TYPE_CHECKING:
    from segline.inference.answers import Answers

_RAW_COPIES = 3
"""Of the values as the file has them: its bytes unzipped, the array, and a turned copy."""
_NATIVE_BYTES, _PLANNED_MAPS = 12, 3
"""A float copy and the mask's way back, a native voxel; float maps a channel and class on the plan's grid."""
_BYTES_PER_FLOAT = 4


@dataclass(frozen=True)
class Reply:
    """An answer, and what is said of it."""

    answer: Any
    """Of the kind of task, such as a mask."""
    figures: dict[str, Any]
    """See :class:`~segline.inference.answers.Answers`."""
    remarks: tuple[str, ...]
    """What looks wrong about the volume."""
    familiarity: Familiarity | None
    """How far it lies from what was learned; ``None`` where the package says nothing of that."""

    @property
    def trust(self) -> dict[str, Any] | None:
        """The same, ready for JSON."""
        return self.familiarity.told() if self.familiarity else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines for people: the remarks, and why the answer should not be trusted."""
        doubt = self.familiarity.words if self.familiarity else ""
        return (*self.remarks, *([doubt] if doubt else ()))


@dataclass(frozen=True)
class Served:
    """A package that answers: on which backend, and by what name. What it needs is loaded at first use.

    Attributes:
        model: the package.
        version: as it was registered, such as ``spleen/3``; empty where it was not.
        wanted: the backend's name, or ``auto``.
        device: ``cpu``, ``cuda`` or ``auto``.
    """

    model: Model
    version: str = ""
    wanted: str = AUTO
    device: str = "auto"

    def opened(self) -> "Served":
        """Itself, with all that it needs loaded already.

        Raises:
            SeglineError: the backend cannot run here, or a part of the package is damaged.
        """
        self.backend, self.name, self.domain  # noqa: B018
        return self

    @cached_property
    def backend(self) -> Backend:
        """What computes.

        Raises:
            SeglineError: it cannot run here, or a part of the package is damaged.
        """
        return open_chosen(self.wanted, self.model, self.device, self._equivalent)

    @property
    def _equivalent(self) -> frozenset[str]:
        """What the gate has to have said of a package before it may answer in fewer bits."""
        asked = self.plan.export.int8_patches or self.plan.export.bfloat16
        if self.wanted != AUTO or not asked:
            return frozenset()
        from segline.acceptance.verdict import shown_equivalent

        return shown_equivalent(self.model.folder)

    @cached_property
    def name(self) -> str:
        """The version; of a package that was not registered, its task and the weights' digest."""
        return self.version or f"{self.plan.task}:{self.digests['weights'][:12]}"

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the plan, the data set and the weights."""
        plan, weights = self.plan, sha256_of_file(self.model.weights)
        return {"plan": plan.digest, "dataset": plan.dataset_digest, "weights": weights}

    @cached_property
    def digest(self) -> str:
        """Of all that an answer depends on besides the volume."""
        parts = self.plan.digest, self.digests["weights"], self.backend.name, PREPROCESSING_VERSION
        return sha256_of_json(list(parts))

    @property
    def plan(self) -> Plan:
        """The package's."""
        return self.model.plan

    @cached_property
    def domain(self) -> Domain | None:
        """What the model learned from; ``None`` in a package that does not say so.

        Raises:
            SeglineError: as :attr:`Model.domain`.
        """
        return self.model.domain

    @cached_property
    def answers(self) -> "Answers":
        """What it answers."""
        return kind_of(self.plan.kind).answers

    @cached_property
    def algorithm(self) -> Algorithm:
        """How answers in DICOM name it."""
        parts = {name: self.digests[name] for name in ("plan", "weights")} | {"backend": self.backend.name}
        return Algorithm(task=self.plan.task, version=self.name, parts=parts)

    def predictor(
        self, network: WindowScorer | None = None, watch: Stopwatch | None = None
    ) -> Callable[[Volume], Any]:
        """From a volume to its answer, by its backend or another way to it.

        Raises:
            SeglineError: as :attr:`backend`.
        """
        return self.answers.predictor(self.plan, network or self.backend, watch)

    def reply(self, volume: Volume) -> Reply:
        """Of one volume.

        Raises:
            SeglineError: see the predictor of :class:`~segline.inference.answers.Answers`.
        """
        return self.judged(volume, self.predictor()(volume))

    def judged(self, volume: Volume, answer: Any) -> Reply:
        """An answer with what is to be said of it."""
        figures = self.answers.figures(self.plan, answer)
        far = None
        if self.domain is not None:
            far = familiarity(self.domain, self.plan, volume, figures.get("volumes_ml"))
        return Reply(answer, figures, tuple(doubts(self.plan, volume)), far)

    @property
    def labels(self) -> dict[int, str]:
        """What answers hold, as the label files have it, to its name; of masks without the background."""
        first = 1 if self.plan.network.answers == "voxels" else 0
        return {value: self.plan.labels[value] for value in self.plan.label_values[first:]}

    @property
    def described(self) -> dict[str, object]:
        """Who it is and what it takes, ready for JSON."""
        plan = self.plan
        return {
            "name": plan.task,
            "version": self.name,
            "task": plan.task,
            "kind": plan.kind,
            "channels": list(plan.channels),
            "labels": {str(value): label for value, label in self.labels.items()},
            "answers": self.answers.words(plan),
            "backend": self.backend.version,
            "precision": self.backend.precision,
            "digests": self.digests,
        }

    def bytes_for(self, volume: Declared) -> int:
        """Estimate of what an answer takes besides the batch in the network, before anything is read."""
        planned = math.prod(max(1.0, edge) for edge in self._planned(volume))
        maps = _PLANNED_MAPS * (volume.channels + len(self.plan.labels))
        native = _RAW_COPIES * volume.size_bytes + _NATIVE_BYTES * volume.voxels
        return int(native + planned * maps * _BYTES_PER_FLOAT)

    def windows_for(self, volume: Declared) -> int:
        """Estimate of how many windows a volume is cut into."""
        if self.plan.network.answers == "classes":
            return 1
        shape = as_shape(max(1, round(edge)) for edge in self._planned(volume))
        return len(Tiling.of(shape, self.plan.inference, self.plan.network.total_stride).starts)

    def _planned(self, volume: Declared) -> list[float]:
        """Edges of the whole volume on the plan's grid, voxels."""
        lengths = zip(volume.shape, volume.spacing_mm, self.plan.preprocessing.spacing_mm, strict=True)
        return [size * have / want for size, have, want in lengths]

    @property
    def batch_bytes(self) -> int:
        """Estimate of what one batch in the network takes."""
        return batch_bytes(self.plan)
