"""Rules of intensity: what a file's numbers become before the network sees them."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from segline.plan.part import Part


class IntensityWindow(Part):
    """Clip to ``window`` in the file's own unit (HU for CT) and scale it to 0..1."""

    rule: Literal["window"] = "window"
    window: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> "IntensityWindow":
        if self.window[0] >= self.window[1]:
            raise ValueError("the lower end must be below the upper end")
        return self


class ZScore(Part):
    """Subtract the foreground's mean, divide by its standard deviation, clip at ``clip_sd`` of them."""

    rule: Literal["zscore"] = "zscore"
    clip_sd: PositiveFloat = 5.0


Intensity = Annotated[IntensityWindow | ZScore, Field(discriminator="rule")]
