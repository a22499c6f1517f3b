"""The order in which patches and batches are tried, and which of them is taken."""

import math
from collections.abc import Callable, Iterator, Sequence

from segline.common.errors import SeglineError
from segline.common.wording import by
from segline.imaging.geometry import Shape, as_shape
from segline.plan import Plan
from segline.training.tuning.record import Candidate

WORTHWHILE = 1.25
"""Times the patches a second, from which a doubled batch pays: it takes nearly as many steps to learn."""
_PATCH_SCALES = (1.0, 0.75, 0.5)
_DOUBLINGS = 3
_HOPELESS = 0.7
"""Of what would be enough: small patches are slower than their voxels say."""


def choose(
    plan: Plan, measure: Callable[[Shape, int], Candidate], has_time: Callable[[], bool] = lambda: True
) -> tuple[list[Candidate], Candidate]:
    """All candidates that were tried, and the one to train with; larger batches only while ``has_time``.

    Raises:
        SeglineError: none fits into memory.
    """
    tried: list[Candidate] = []
    ladder = list(_ladder(plan))
    for patch, batch in ladder:
        if (patch, batch) == ladder[-1] or not _is_hopeless(tried, patch, batch):
            tried.append(measure(patch, batch))
            if tried[-1].sufficiency >= 1:
                break
    chosen = max(tried, key=lambda candidate: candidate.sufficiency)
    if chosen.seconds_a_step is None:
        raise SeglineError(
            f"training.tune: no patch down to {by(ladder[-1][0])} fits into memory with a batch of "
            f"{ladder[-1][1]}; free some, or give a smaller training.patch_size"
        )
    if len(tried) == 1 and chosen.sufficiency >= 1:
        for _ in range(_DOUBLINGS):
            if not has_time():
                break
            tried.append(measure(chosen.patch_size, 2 * chosen.batch_size))
            if not _pays(tried[-1], chosen):
                break
            chosen = tried[-1]
    return tried, chosen


def _pays(doubled: Candidate, batch: Candidate) -> bool:
    return doubled.sufficiency >= 1 and doubled.samples_per_second >= WORTHWHILE * batch.samples_per_second


def _is_hopeless(tried: Sequence[Candidate], patch: Shape, batch: int) -> bool:
    """Whether what was timed last says, if each voxel takes as long, that this would be far too slow."""
    timed = [candidate for candidate in tried if candidate.seconds_a_step]
    if not timed:
        return False
    last = timed[-1]
    patches_for_one = math.prod(last.patch_size) / math.prod(patch)
    steps, passes = int(last.steps * patches_for_one * last.batch_size / batch), last.passes * patches_for_one
    return last.model_copy(update={"steps": steps, "passes": passes}).sufficiency < _HOPELESS


def _ladder(plan: Plan) -> Iterator[tuple[Shape, int]]:
    """Patch and batch, the best first where time is no matter."""
    patches = dict.fromkeys(_scaled(plan, scale) for scale in _PATCH_SCALES)
    for patch in patches:
        batch = plan.training.batch_size
        while batch >= 2:
            yield patch, batch
            batch //= 2


def _scaled(plan: Plan, scale: float) -> Shape:
    """The plan's patch made smaller, in multiples of the network's stride, of which it keeps two."""
    sizes = zip(plan.training.patch_size, plan.network.total_stride, strict=True)
    return as_shape(min(size, max(2, math.ceil(scale * size / stride)) * stride) for size, stride in sizes)
