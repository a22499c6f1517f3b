"""A model that is served: opened once, with its name and digests, for many requests."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from segline.backends import Backend
from segline.backends.choice import AUTO, open_chosen
from segline.common.digests import sha256_of_file
from segline.imaging.declared import Declared
from segline.imaging.geometry import as_shape
from segline.inference.familiarity.judging import Judge
from segline.inference.tiling import Tiling
from segline.kinds import kind_of
from segline.model.identification import algorithm_of
from segline.model.package import Model
from segline.plan import Plan, batch_bytes

if TYPE_CHECKING:
    from segline.imaging.dicom.algorithm import Algorithm
    from segline.inference.answers import Answers

_RAW_COPIES = 3
"""Of the values as the file has them: its bytes unzipped, the array, and a turned copy."""
_NATIVE_BYTES, _PLANNED_MAPS = 12, 3
"""A float copy and the mask's way back, a native voxel; float maps a channel and class on the plan's grid."""
_BYTES_PER_FLOAT = 4


@dataclass(frozen=True)
class Served:
    """An opened package: what answers, and by what name.

    Attributes:
        name: the version, such as ``spleen/3``; of a package that was not registered, its task and digest.
    """

    name: str
    model: Model
    backend: Backend
    digests: dict[str, str] = field(repr=False)

    @classmethod
    def opened(cls, model: Model, name: str = "", backend: str = AUTO, device: str = "auto") -> "Served":
        """Load a package.

        Raises:
            SeglineError: the backend cannot run here, or a part of the package is damaged.
        """
        weights = sha256_of_file(model.weights)
        return cls(
            name or f"{model.plan.task}:{weights[:12]}",
            model,
            open_chosen(backend, model, device),
            {"plan": model.plan.digest, "dataset": model.plan.dataset_digest, "weights": weights},
        )

    @property
    def plan(self) -> Plan:
        """The package's."""
        return self.model.plan

    @cached_property
    def answers(self) -> "Answers":
        """What it answers."""
        return kind_of(self.plan.kind).answers

    @cached_property
    def judge(self) -> Judge:
        """Says how far a volume lies from what was learned."""
        return Judge(self.model.domain, self.plan, self.answers)

    @cached_property
    def algorithm(self) -> "Algorithm":
        """How answers in DICOM name it."""
        return algorithm_of(self.model, self.backend.name, self.name)

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
