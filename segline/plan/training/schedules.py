"""Schedules by name: the learning rate over a training. One more is one class and one name in the union.

A rate is a function of the progress alone, so that it survives resumptions and budgets of minutes.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from segline.plan.part import Part, Share


class _AfterWarmUp(Part):
    """What begins with a linear warm-up."""

    def rise(self, done: float) -> float:
        """Share of the highest rate when so much of the warm-up is done, 0 to 1."""
        return max(done, 1e-2)


class Cosine(_AfterWarmUp):
    """Half a cosine down to 0 (Loshchilov and Hutter, SGDR, ICLR 2017)."""

    name: Literal["cosine"] = "cosine"

    @property
    def words(self) -> str:
        """In words, for reports."""
        return "a cosine"

    def rate(self, progress: float, warmup: float) -> float:
        """Share of the highest rate at ``progress``, between the warm-up's end and 1."""
        cosine = math.cos(math.pi * (progress - warmup) / (1 - warmup)) if warmup < 1 else 1.0
        return 0.5 * (1 + cosine)


class Polynomial(_AfterWarmUp):
    """A power of what is left, as nnU-Net trains."""

    name: Literal["polynomial"] = "polynomial"
    power: float = Field(default=0.9, gt=0, le=100)

    @property
    def words(self) -> str:
        """In words, for reports."""
        return f"a power of {self.power:g}"

    def rate(self, progress: float, warmup: float) -> float:
        """Share of the highest rate at ``progress``, between the warm-up's end and 1."""
        left = (1 - progress) / (1 - warmup) if warmup < 1 else 1.0
        return float(max(0.0, left) ** self.power)


class OneCycle(Part):
    """Half a cosine up and half a cosine down to next to nothing (Smith and Topin, Super-convergence, 2019).

    ``warmup_share`` is what others call ``pct_start``, of which 0.25 is usual; fastai's shape and defaults.
    """

    name: Literal["onecycle"] = "onecycle"
    start: Share = 0.04
    """Share of the highest rate with which it begins."""
    end: Share = 1e-5

    @property
    def words(self) -> str:
        """In words, for reports."""
        return "one cycle"

    def rise(self, done: float) -> float:
        """Share of the highest rate when so much of the warm-up is done, 0 to 1."""
        return _between(self.start, 1.0, done)

    def rate(self, progress: float, warmup: float) -> float:
        """Share of the highest rate at ``progress``, between the warm-up's end and 1."""
        return _between(1.0, self.end, (progress - warmup) / (1 - warmup) if warmup < 1 else 0.0)


def _between(first: float, last: float, done: float) -> float:
    """Along half a cosine."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * done))


Schedule = Annotated[Cosine | Polynomial | OneCycle, Field(discriminator="name")]
