"""The learning-rate range test: the rate rises with every step, and the loss shows which one is good.

Smith, Cyclical learning rates for training neural networks, WACV 2017.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:  # the report reads what was found, and needs no PyTorch
    from segline.training.trainer import Trainer

LOWEST, HIGHEST = 1 / 300, 30.0
"""Of the usual rate: the range that is tested. Of 3e-3, from 1e-5 to 9e-2."""
FREEDOM = 3.0
"""How many times higher or lower than the usual rate a suggestion may be."""
FEWEST_STEPS, MOST_STEPS = 40, 100
_BLOWN_UP = 2.0
"""The lowest running loss times this ends the test."""
_RUNNING = 5
_LEAST_FALL = 0.1
"""Share of the loss that must have gone for the test to tell anything."""


class RangeTest(BaseModel):
    """What each rate did to the loss."""

    model_config = ConfigDict(frozen=True)

    rates: tuple[float, ...]
    """Of the steps, rising."""
    losses: tuple[float, ...]
    """Before each step."""

    @property
    def smoothed(self) -> tuple[float, ...]:
        """The losses' means over a tenth of the test, centred, so that they do not lag behind the rates."""
        half = max(1, len(self.losses) // 20)
        around = np.pad(self.losses, half, mode="edge")
        means = np.convolve(around, np.ones(2 * half + 1) / (2 * half + 1), "valid")
        return tuple(float(mean) for mean in means)

    def suggestion(self, usual: float) -> float:
        """The rate at which the loss falls fastest with the rate's logarithm, at most 3 times off ``usual``.

        ``usual`` itself where the loss hardly fell. Rates beyond the lowest loss do not count.
        """
        smoothed = np.array(self.smoothed)
        lowest = int(smoothed.argmin())
        if smoothed[lowest] > (1 - _LEAST_FALL) * smoothed[0]:
            return usual
        slopes = np.gradient(smoothed, np.log(self.rates))[: lowest + 1]
        steepest = self.rates[int(slopes.argmin())]
        return float(f"{min(max(steepest, usual / FREEDOM), usual * FREEDOM):.2g}")


def range_test(trainer: "Trainer", steps: int) -> RangeTest:
    """Train with ever higher rates until the loss blows up; the trainer is of no other use afterwards.

    Args:
        trainer: at its first step; its plan's rate is the usual one.
        steps: at most, ``FEWEST_STEPS`` or more to be worth anything.
    """
    usual = trainer.plan.training.learning_rate
    rates = [float(rate) for rate in np.geomspace(LOWEST * usual, HIGHEST * usual, steps)]
    losses: list[float] = []
    for rate in rates:
        losses.append(float(trainer.train_step(rate)))
        if not math.isfinite(losses[-1]):
            losses.pop()
            break
        if _has_blown_up(losses):
            break
    return RangeTest(rates=tuple(rates[: len(losses)]), losses=tuple(losses))


def as_table(test: RangeTest, rows: int = 20) -> str:
    """Rate and loss, smoothed, a row each, evenly spread over the test."""
    chosen = np.linspace(0, len(test.rates) - 1, min(rows, len(test.rates))).round().astype(int)
    smoothed = test.smoothed
    lines = [f"{test.rates[index]:13.1e}  {smoothed[index]:.4f}" for index in chosen]
    return "\n".join(["learning rate  loss", *lines]) + "\n"


def _has_blown_up(losses: Sequence[float]) -> bool:
    if len(losses) < _RUNNING:
        return False
    running = np.convolve(losses, np.ones(_RUNNING) / _RUNNING, "valid")
    return bool(running[-1] > _BLOWN_UP * running.min())
