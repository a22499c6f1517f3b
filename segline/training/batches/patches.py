"""Which patches a training step sees: each a pure function of the seed and its number.

So a resumed training needs no saved random state and sees what an unbroken one sees, and a batch can be cut
in parts.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from segline.common.errors import SeglineError
from segline.common.wording import by
from segline.data.cases.case import Case
from segline.imaging.geometry import Shape, as_shape
from segline.imaging.preprocessing import IGNORED
from segline.plan import Plan
from segline.plan.preprocessing.normalisation import OUTSIDE
from segline.plan.training import Padding
from segline.plan.training.samplers import Sampler as Centres


class Sampler(Protocol):
    """What a training step is cut from."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which about every case has been seen once."""

    @property
    def first(self) -> int:
        """Number in the whole batch of the part's first patch."""

    def cases_of(self, step: int) -> Sequence[int]:
        """Numbers of the cases that the whole batch of a step is cut from."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Images and targets of a step, a function of the seed and its number alone."""


def patch_sampler(
    plan: Plan, cases: Sequence[Case], batch_size: int | None = None, part: tuple[int, int] = (0, 1)
) -> "PatchSampler":
    """The sampler of a plan, for its own batch unless another is given."""
    training = plan.training
    size = batch_size or training.batch_size
    return PatchSampler(
        cases,
        training.patch_size,
        size,
        training.sampler,
        plan.seed,
        part,
        plan.label_values[1:],
        training.samples_per_volume,
        training.padding,
    )


class BatchesInParts(ABC):
    """Draws of cases, numbered over the whole training, and which of them are of a step and of its part."""

    cases: Sequence[Case]
    batch_size: int
    part: tuple[int, int]
    samples_per_volume: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which about every case has been seen once, or as often in turn as it is to be."""
        return -(-len(self.cases) * self.samples_per_volume // self.batch_size)

    @property
    def first(self) -> int:
        """Number in the whole batch of the part's first patch."""
        part, parts = self.part
        return part * (self.batch_size // parts)

    def cases_of(self, step: int) -> Sequence[int]:
        """Numbers of the cases that the whole batch of a step is cut from."""
        begin = step * self.batch_size
        return [self._case_number(draw) for draw in range(begin, begin + self.batch_size)]

    def _draws(self, step: int) -> range:
        """Of the part of a step's batch."""
        begin = step * self.batch_size + self.first
        return range(begin, begin + self.batch_size // self.part[1])

    @abstractmethod
    def _case_number(self, draw: int) -> int:
        """Which case a draw gives."""


@dataclass(frozen=True)
class PatchSampler(BatchesInParts):
    """Cuts batches of patches from memory-mapped cases.

    Attributes:
        centres: where patches are centred.
        part: which of how many equal parts of each batch.
        values: of the foreground labels, in the order of the cases' locations; 1, 2 and so on by default.
        samples_per_volume: draws that give one case in turn.
        padding: beyond a volume that is smaller than the patch.
    """

    cases: Sequence[Case]
    patch_size: Shape
    batch_size: int
    centres: Centres
    seed: int
    part: tuple[int, int] = (0, 1)
    values: Sequence[int] = range(1, 256)
    samples_per_volume: int = 1
    padding: Padding = "constant"

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The patches of a step: image ``(B, C, *patch)`` float32 and label ``(B, *patch)`` uint8."""
        patches = [self._patch(draw) for draw in self._draws(step)]
        images = np.stack([image for image, _ in patches])
        labels = np.stack([label for _, label in patches])
        return torch.from_numpy(images).float(), torch.from_numpy(labels)

    def _case_number(self, draw: int) -> int:
        return case_in_epoch(self.seed, draw // self.samples_per_volume, len(self.cases))

    def _patch(self, draw: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((self.seed, 0, draw))
        case = self.cases[self._case_number(draw)]
        self._require_mirrors(case)
        start = self.centres.pick(
            lambda: patch_start(self._centre(case, rng), case.shape, self.patch_size, rng),
            lambda start: labelled_share(self._cut(case.label, start)),
        )
        image = np.stack([self._cut(channel, start, OUTSIDE) for channel in case.image])
        return image, self._cut(case.label, start)

    def _cut(self, array: np.ndarray, start: Shape, outside: float = 0) -> np.ndarray:
        return cut(array, start, self.patch_size, outside, self.padding)

    def _require_mirrors(self, case: Case) -> None:
        sizes = zip(case.shape, self.patch_size, strict=True)
        if self.padding == "reflect" and any(size == 1 < length for size, length in sizes):
            raise SeglineError(
                f"{case.name}: {by(case.shape)} voxels, and an axis of one has nothing to mirror; "
                "set training.padding to edge"
            )

    def _centre(self, case: Case, rng: np.random.Generator) -> np.ndarray:
        places = zip(self.values, case.locations, strict=False)  # up to the last label that the case has
        labelled = {value: locations for value, locations in places if len(locations)}
        return np.asarray(self.centres.centre(labelled, case.shape, rng))


def case_in_epoch(seed: int, draw: int, cases: int) -> int:
    """Cases are shuffled anew each epoch, and none is drawn again before all have been."""
    epoch, position = divmod(draw, cases)
    return int(_order(seed, epoch, cases)[position])


@lru_cache(2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, 1, epoch)).permutation(count)


def patch_start(centre: np.ndarray, shape: Shape, patch: Shape, rng: np.random.Generator) -> Shape:
    """First voxel of a patch around ``centre``, kept inside the volume.

    Along an axis on which the volume is smaller than the patch, it lies anywhere in the patch instead, and
    the start is negative.
    """
    start = []
    for middle, size, length in zip(centre, shape, patch, strict=True):
        if size > length:
            start.append(min(max(int(middle) - length // 2, 0), size - length))
        else:
            start.append(-int(rng.integers(0, length - size + 1)))
    return as_shape(start)


def labelled_share(label: np.ndarray) -> float:
    """Of the voxels of a patch; what is unknown has no label."""
    return np.count_nonzero((label != 0) & (label != IGNORED)) / label.size


def cut(
    array: np.ndarray, start: Shape, patch: Shape, outside: float, padding: Padding = "constant"
) -> np.ndarray:
    """Copy ``array[start : start + patch]``, padded where that reaches beyond the array.

    With ``outside`` if the padding is ``constant``; ``reflect`` mirrors the array, as often as it takes, and
    ``edge`` repeats its last voxels.
    """
    inside = tuple(slice(max(a, 0), a + n) for a, n in zip(start, patch, strict=True))
    piece = array[inside]
    if piece.shape == patch:
        return np.array(piece)
    before = [max(-a, 0) for a in start]
    widths = [(a, n - a - size) for a, n, size in zip(before, patch, piece.shape, strict=True)]
    if padding == "constant":
        return np.pad(piece, widths, constant_values=outside)
    return np.pad(piece, widths, padding)
