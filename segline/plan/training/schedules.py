"""Schedules by name: the learning rate after the warm-up. One more is one class and one name in the union.

A rate is a function of the progress alone, so that it survives resumptions and budgets of minutes.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from segline.plan.part import Part


class Cosine(Part):
    """Half a cosine down to 0 (Loshchilov and Hutter, SGDR, ICLR 2017)."""

    name: Literal["cosine"] = "cosine"

    def rate(self, progress: float, warmup: float) -> float:
        """Share of the highest rate at ``progress``, between the warm-up's end and 1."""
        cosine = math.cos(math.pi * (progress - warmup) / (1 - warmup)) if warmup < 1 else 1.0
        return 0.5 * (1 + cosine)


class Polynomial(Part):
    """A power of what is left, as nnU-Net trains."""

    name: Literal["polynomial"] = "polynomial"
    power: float = Field(default=0.9, gt=0, le=100)

    def rate(self, progress: float, warmup: float) -> float:
        """Share of the highest rate at ``progress``, between the warm-up's end and 1."""
        left = (1 - progress) / (1 - warmup) if warmup < 1 else 1.0
        return float(max(0.0, left) ** self.power)


Schedule = Annotated[Cosine | Polynomial, Field(discriminator="name")]
