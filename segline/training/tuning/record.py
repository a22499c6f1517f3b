"""What was tried on the machine that trains, and what was chosen: by a probe, or the learning rate alone."""

from pydantic import BaseModel, ConfigDict

from segline.common.documents import Document
from segline.common.documents.names import TUNING
from segline.common.wording import by
from segline.imaging.geometry import Shape
from segline.plan import Inference, Plan, Training
from segline.training.tuning.rate_test import RangeTest

ENOUGH_STEPS = 1000
"""The hippocampus' mean Dice is 0.88 after 1 700 to 4 000 steps, and a painted spleen's 0.91 after 900."""
ENOUGH_PASSES = 10
"""Patches of each case."""


class Candidate(BaseModel):
    """A patch and a batch that was tried."""

    model_config = ConfigDict(frozen=True)

    patch_size: Shape
    batch_size: int
    seconds_a_step: float | None
    """None where it does not fit into memory."""
    steps: int
    """That the budget has room for."""
    passes: float
    """Over the training cases, in these steps."""

    @property
    def samples_per_second(self) -> float:
        """Patches."""
        return self.batch_size / self.seconds_a_step if self.seconds_a_step else 0.0

    @property
    def sufficiency(self) -> float:
        """1 or more where there are enough steps and passes."""
        return min(self.steps / ENOUGH_STEPS, self.passes / ENOUGH_PASSES)


class Tuning(Document):
    """What a probe found, and what it chose; or a test of the learning rate alone, of no candidates."""

    kind = "a tuning"
    stage = "train"

    device: str
    budget_minutes: float | None
    """None where there is none, and the rate alone was looked for."""
    probe_minutes: float
    candidates: tuple[Candidate, ...]
    """In the order in which they were tried."""
    validation_seconds: float | None
    """Of one, estimated from a case of the median size; None where the rate alone was looked for."""
    range_test: RangeTest | None
    """None where the probe had no time for it: the rate is the plan's, then."""
    steps: int | None
    """Expected; None where the rate alone was looked for."""
    training: Training
    inference: Inference

    def plan(self, plan: Plan) -> Plan:
        """The plan to train under, for the one that asked."""
        parts = {"training": self.training.model_dump(), "inference": self.inference.model_dump()}
        return Plan.parse({**plan.model_dump(), **parts}, TUNING)

    @property
    def text(self) -> str:
        """What was chosen, in a few words."""
        if not self.candidates:
            how = "found" if self.range_test else "kept, without time for a test,"
            return f"learning rate {self.training.learning_rate:g} {how} in {60 * self.probe_minutes:.0f} s"
        return (
            f"tuned in {60 * self.probe_minutes:.0f} s: patch {by(self.training.patch_size)}, "
            f"batch {self.training.batch_size}, "
            f"learning rate {self.training.learning_rate:g}"
        )
