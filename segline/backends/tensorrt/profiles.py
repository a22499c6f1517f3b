"""Optimisation profiles: the shapes of windows that an engine is built for."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from segline.common.errors import SeglineError
from segline.common.wording import by
from segline.plan import Plan

WindowsShape = tuple[int, int, int, int, int]
"""``(B, C, x, y, z)``."""


class Profile(BaseModel):
    """Windows from the smallest to the largest, along each axis; the engine is fastest at the typical."""

    model_config = ConfigDict(frozen=True)

    smallest: WindowsShape
    typical: WindowsShape
    largest: WindowsShape

    def holds(self, shape: Sequence[int]) -> bool:
        """Whether windows of ``shape`` can go through."""
        if len(shape) != len(self.smallest):
            return False
        return all(a <= n <= b for a, n, b in zip(self.smallest, shape, self.largest, strict=True))


def plan_profiles(plan: Plan) -> tuple[Profile, ...]:
    """One for a volume in a single window, one for batches of windows; the narrowest first.

    Both are tuned to the plan's largest window, which the fewest windows over a volume are nearest to.
    """
    smallest, largest = plan.inference.smallest_window, plan.inference.largest_window
    channels = len(plan.channels)
    return tuple(
        Profile(
            smallest=(1, channels, *smallest),
            typical=(batch, channels, *largest),
            largest=(batch, channels, *largest),
        )
        for batch in sorted({1, plan.inference.batch_size})
    )


def choose_profile(profiles: Sequence[Profile], shape: Sequence[int]) -> int:
    """Number of the first profile that holds windows of ``shape``.

    Raises:
        SeglineError: none does.
    """
    for number, profile in enumerate(profiles):
        if profile.holds(shape):
            return number
    widest = profiles[-1]
    raise SeglineError(
        f"tensorrt: windows of {by(shape)} do not fit the engine, built for {by(widest.smallest)} "
        f"to {by(widest.largest)}; predict with the package's own plan"
    )
