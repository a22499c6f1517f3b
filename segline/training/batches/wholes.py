"""Which images a training step sees where each is seen whole: a pure function of the seed and its number."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from segline.common.errors import SeglineError
from segline.data.cases.case import Case
from segline.plan import Plan
from segline.plan.preprocessing.normalisation import OUTSIDE
from segline.plan.training.samplers import LabelSampler, WeightedSampler
from segline.training.batches.patches import BatchesInParts, case_in_epoch, cut, patch_start


@dataclass(frozen=True)
class WholeSampler(BatchesInParts):
    """Cuts batches of whole images, each anywhere in the plan's patch, or a part of it where it is larger.

    With the sampler ``label``, so many images are drawn by their class, each class as often as another, to
    one in the order of the epoch; with ``weighted``, each class as often as its weight says; with
    ``uniform``, all are in the order of the epoch.

    Attributes:
        part: which of how many equal parts of each batch.
    """

    plan: Plan
    cases: Sequence[Case]
    batch_size: int
    part: tuple[int, int] = (0, 1)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The images of a step: ``(B, C, *patch)`` float32, and their classes ``(B,)`` int64."""
        draws = self._draws(step)
        cases = [self.cases[self._case_number(draw)] for draw in draws]
        images = np.stack([self._image(case, draw) for case, draw in zip(cases, draws, strict=True)])
        classes = np.array([int(case.label) for case in cases], np.int64)
        return torch.from_numpy(images).float(), torch.from_numpy(classes)

    def _case_number(self, draw: int) -> int:
        rng = np.random.default_rng((self.plan.seed, 4, draw))
        if rng.random() >= self._share_by_class:
            return case_in_epoch(self.plan.seed, draw, len(self.cases))
        shares = self._class_shares
        members = self._by_class[int(rng.choice(list(shares), p=list(shares.values())))]
        return members[int(rng.integers(len(members)))]

    @property
    def _share_by_class(self) -> float:
        """Of the images that are drawn by their class."""
        sampler = self.plan.training.sampler
        if isinstance(sampler, LabelSampler):
            return sampler.ratio / (sampler.ratio + 1)
        return float(isinstance(sampler, WeightedSampler))

    @cached_property
    def _class_shares(self) -> dict[int, float]:
        """How often each class that there is comes, by its index."""
        sampler, values = self.plan.training.sampler, self.plan.label_values
        weights = {label: 1.0 for label in self._by_class}
        if isinstance(sampler, WeightedSampler):
            weights = {label: sampler.weights.get(values[label], 0.0) for label in weights}
        total = sum(weights.values())
        if not total > 0:
            there = ", ".join(str(values[label]) for label in weights)
            raise SeglineError(
                f"training.sampler.weights: no training case is of a class that has weight; there are {there}"
            )
        return {label: weight / total for label, weight in weights.items()}

    @cached_property
    def _by_class(self) -> dict[int, list[int]]:
        members: dict[int, list[int]] = {}
        for number in range(len(self.cases)):
            members.setdefault(int(self.cases[number].label), []).append(number)
        return dict(sorted(members.items()))

    def _image(self, case: Case, draw: int) -> np.ndarray:
        rng, size = np.random.default_rng((self.plan.seed, 0, draw)), self.plan.training.patch_size
        start = patch_start(rng.integers(0, case.shape), case.shape, size, rng)
        return np.stack([cut(channel, start, size, OUTSIDE) for channel in case.image])
