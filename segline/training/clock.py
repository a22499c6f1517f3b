"""How far a training is, and the learning rate there."""

import math
from dataclasses import dataclass

from segline.plan import Training


@dataclass(frozen=True)
class Clock:
    """Progress from 0 to 1 by steps or, if a budget of minutes is given, by whichever is further."""

    training: Training
    total_steps: int

    def progress(self, step: int, minutes: float) -> float:
        """Share of the training that is done after ``step`` steps and ``minutes``; 1 ends it."""
        by_steps = step / self.total_steps
        by_time = minutes / self.training.max_minutes if self.training.max_minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def learning_rate(self, progress: float) -> float:
        """Warm-up, then decay, as the plan's schedule says."""
        warmup, schedule = self.training.warmup_share, self.training.schedule
        if progress < warmup:
            return self.training.learning_rate * schedule.rise(progress / warmup)
        return self.training.learning_rate * schedule.rate(progress, warmup)

    def validations_due(self, progress: float) -> int:
        """How many of the evenly spread validations should have taken place by ``progress``."""
        return math.floor(progress * self.training.validations + 1e-9)
