"""Who made an object: the name, version and digests that DICOM keeps with what a model says."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from segline import __version__

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence

MANUFACTURER = "segline"
_LONGEST = 64
"""Characters of DICOM's LO."""


@dataclass(frozen=True)
class Algorithm:
    """A model, as whoever reads its answer knows it again."""

    task: str
    version: str
    """Such as ``spleen/3``, or the beginning of a digest."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """What decides its answer: digests of plan and weights, and the backend."""

    @property
    def name(self) -> str:
        """For the segment and the report."""
        return f"segline {self.task}"[:_LONGEST]

    def identification(self) -> "AlgorithmIdentificationSequence":
        """As DICOM has it."""
        from highdicom import AlgorithmIdentificationSequence
        from pydicom.sr.codedict import codes

        return AlgorithmIdentificationSequence(
            name=self.name,
            family=codes.DCM.ArtificialIntelligence,
            version=self.version[:_LONGEST],
            source=MANUFACTURER,
            parameters={**self.parts, "segline": __version__},
        )

    def uid(self, of: Sequence[str], what: str) -> str:
        """The same UID whenever the same model makes the same kind of object of the same images.

        Who predicts again, after a kill or because the series came twice, makes no second one of it.

        Args:
            of: UIDs of the images.
            what: which object it is for.
        """
        made_of = (f"{name}={part}" for name, part in sorted(self.parts.items()))
        return uid_of([what, __version__, *made_of, *sorted(of)])


def uid_of(parts: Sequence[str]) -> str:
    """A UID that is the same whenever the parts are."""
    digest = sha256("\n".join(parts).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
