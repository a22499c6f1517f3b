"""Rules of intensity: what a file's numbers become before the network sees them.

One more is one class and one name in the union.
"""

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from segline.common.arrays import Array, functions_for
from segline.plan.part import Part, Raw

if TYPE_CHECKING:
    import numpy as np

_LEAST = 1e-8
"""Of a divisor."""
OUTSIDE = 0.0
"""Value of voxels beyond the volume, after normalisation: a window's lower end, or an image's mean."""


_NARROWEST = 1e-6
"""In the file's unit: what is divided by must not be 0 to a float32."""


class IntensityWindow(Part):
    """Clip to ``window`` in the file's own unit (HU for CT) and scale it to 0..1."""

    rule: Literal["window"] = "window"
    window: tuple[Raw, Raw]

    @model_validator(mode="after")
    def _ordered(self) -> "IntensityWindow":
        low, high = self.window
        if low >= high:
            raise ValueError("the lower end must be below the upper end")
        if high - low < _NARROWEST:
            raise ValueError(f"window: narrower than {_NARROWEST:g}")
        return self

    @property
    def keeps_unit(self) -> bool:
        """Whether the file's unit matters to what comes out."""
        return True

    @property
    def words(self) -> str:
        """In words, for reports."""
        low, high = self.window
        return f"window {low:g} to {high:g}".replace("-", "−")

    def apply(self, channel: Array, foreground_above: float | None) -> Array:  # noqa: ARG002
        """Normalise one channel ``(X, Y, Z)`` float32 in the file's unit, in place."""
        low, high = self.window
        channel -= low
        channel /= high - low
        return _clip(channel, 0.0, 1.0)

    def monai(self, channel: str, foreground_above: float | None) -> str:  # noqa: ARG002
        """The same as an expression of ``channel``, one of tensors, for a MONAI bundle."""
        low, high = self.window
        return f"(({channel} - {low!r}) / {high - low!r}).clamp(0, 1)"

    def display_range(self, image: "np.ndarray") -> tuple[float, float]:  # noqa: ARG002
        """Values in the file's unit that are shown black and white."""
        return self.window


_OVER = {"foreground": "the foreground", "volume": "the whole volume", "nonzero": "what is not zero"}


class ZScore(Part):
    """Subtract a mean, divide by the standard deviation of the same voxels, clip at ``clip_sd`` of them."""

    rule: Literal["zscore"] = "zscore"
    clip_sd: float = Field(default=5.0, gt=0, le=1000)
    over: Literal["foreground", "volume", "nonzero"] = Field(
        default="foreground", exclude_if=lambda over: over == "foreground"
    )
    """Whose mean and deviation. ``nonzero``, as in BraTS, leaves the zeros around a brain as they are."""

    @property
    def keeps_unit(self) -> bool:
        """Whether the file's unit matters to what comes out."""
        return False

    @property
    def words(self) -> str:
        """In words, for reports."""
        zeros = " (zeros stay zero)" if self.over == "nonzero" else ""
        return f"z-score of {_OVER[self.over]}{zeros}, clipped at {self.clip_sd:g} SD"

    def apply(self, channel: Array, foreground_above: float | None) -> Array:
        """Normalise one channel ``(X, Y, Z)`` float32 in the file's unit, in place.

        Of the foreground, voxels above ``foreground_above`` give mean and standard deviation; all voxels do
        where that is ``None``, or where fewer than two are chosen.
        """
        chosen = self._chosen(channel, foreground_above)
        mean, sd = _statistics(channel, chosen)
        channel -= mean
        channel /= sd
        channel = _clip(channel, -self.clip_sd, self.clip_sd)
        if self.over == "nonzero":
            channel *= chosen
        return channel

    def _chosen(self, channel: Array, foreground_above: float | None) -> Array | None:
        """Which voxels give mean and deviation; ``None`` for all."""
        if self.over == "nonzero":
            return channel != 0
        if self.over == "volume" or foreground_above is None:
            return None
        return channel > foreground_above

    def monai(self, channel: str, foreground_above: float | None) -> str:
        """The same as an expression of ``channel``; MONAI's own z-score would clip nothing."""
        above = "-math.inf" if foreground_above is None else repr(foreground_above)
        which = {"foreground": f"[{channel} > {above}]", "volume": "", "nonzero": f"[{channel} != 0]"}
        scaled = "((c - v.mean()) / v.std(correction=0).clamp(min=1e-8))"
        zeros = " * (c != 0)" if self.over == "nonzero" else ""
        body = f"{scaled}.clamp({-self.clip_sd!r}, {self.clip_sd!r}){zeros}"
        chosen = f"(lambda c, v: v if v.numel() > 1 else c)({channel}, {channel}{which[self.over]})"
        return f"(lambda c, v: {body})({channel}, {chosen})"

    def display_range(self, image: "np.ndarray") -> tuple[float, float]:
        """The 1st and 99th percentile of what is not zero."""
        return _visible_range(image)


class _Scaled(Part):
    """Rules that scale a channel by numbers of its own, as MedicalZoo's do; its unit does not matter."""

    @property
    def keeps_unit(self) -> bool:
        """Whether the file's unit matters to what comes out."""
        return False

    def display_range(self, image: "np.ndarray") -> tuple[float, float]:
        """The 1st and 99th percentile of what is not zero."""
        return _visible_range(image)


class MinMax(_Scaled):
    """From the channel's lowest to its highest value, to 0..1."""

    rule: Literal["min_max"] = "min_max"

    @property
    def words(self) -> str:
        """In words, for reports."""
        return "its own range scaled to 0 to 1"

    def apply(self, channel: Array, foreground_above: float | None) -> Array:  # noqa: ARG002
        """Normalise one channel ``(X, Y, Z)`` float32 in the file's unit, in place."""
        xp = functions_for(channel)
        low, high = float(xp.min(channel)), float(xp.max(channel))
        channel -= low
        channel /= max(high - low, _LEAST)
        return channel

    def monai(self, channel: str, foreground_above: float | None) -> str:  # noqa: ARG002
        """The same as an expression of ``channel``."""
        return f"(lambda c: (c - c.min()) / (c.max() - c.min()).clamp(min={_LEAST!r}))({channel})"


class Maximum(_Scaled):
    """Divided by the channel's highest value."""

    rule: Literal["max"] = "max"

    @property
    def words(self) -> str:
        """In words, for reports."""
        return "divided by its highest value"

    def apply(self, channel: Array, foreground_above: float | None) -> Array:  # noqa: ARG002
        """Normalise one channel ``(X, Y, Z)`` float32 in the file's unit, in place."""
        channel /= max(abs(float(functions_for(channel).max(channel))), _LEAST)
        return channel

    def monai(self, channel: str, foreground_above: float | None) -> str:  # noqa: ARG002
        """The same as an expression of ``channel``."""
        return f"(lambda c: c / c.max().abs().clamp(min={_LEAST!r}))({channel})"


class Mean(_Scaled):
    """Divided by the channel's mean."""

    rule: Literal["mean"] = "mean"

    @property
    def words(self) -> str:
        """In words, for reports."""
        return "divided by its mean"

    def apply(self, channel: Array, foreground_above: float | None) -> Array:  # noqa: ARG002
        """Normalise one channel ``(X, Y, Z)`` float32 in the file's unit, in place."""
        channel /= max(abs(_statistics(channel, None)[0]), _LEAST)
        return channel

    def monai(self, channel: str, foreground_above: float | None) -> str:  # noqa: ARG002
        """The same as an expression of ``channel``."""
        return (
            f"(lambda c: c / c.mean(dtype=torch.double).abs().clamp(min={_LEAST!r}).to(c.dtype))({channel})"
        )


Intensity = Annotated[IntensityWindow | ZScore | MinMax | Maximum | Mean, Field(discriminator="rule")]


def _visible_range(image: "np.ndarray") -> tuple[float, float]:
    import numpy as np

    inside = image[image != 0]
    low, high = np.percentile(inside, (1, 99)) if inside.size else (0.0, 1.0)
    return float(low), float(high)


def _clip(channel: Array, low: float, high: float) -> Array:
    clipped: Array = functions_for(channel).clip(channel, low, high, out=channel)
    return clipped


def _statistics(channel: Array, chosen: Array | None) -> tuple[float, float]:
    """Mean and standard deviation of some voxels; of all, where fewer than two are chosen."""
    xp = functions_for(channel)
    voxels = channel if chosen is None else channel[chosen]
    if math.prod(voxels.shape) < 2:
        voxels = channel
    wide = xp.astype(voxels, xp.float64)
    return float(xp.mean(wide)), max(float(xp.std(wide)), _LEAST)
