"""Networks on the same patches: by how much their scores differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from segline.data.cases.case import Case
from segline.inference.stitching import WindowScorer
from segline.model.int8 import Int8Sidecar
from segline.model.sidecars import OnnxSidecar
from segline.plan import Plan
from segline.training.objectives.objective import Objective

Sidecar = TypeVar("Sidecar", OnnxSidecar, Int8Sidecar)


@dataclass
class Agreement:
    """Of a network with the reference, over all patches.

    Attributes:
        difference: the largest of two scores; not finite where a score is not.
        same: parts of the answers that are equal.
        parts: all of them.
    """

    difference: float = 0.0
    same: int = 0
    parts: int = 0

    @property
    def share(self) -> float:
        """Of equal parts."""
        return self.same / self.parts

    def noted_in(self, sidecar: Sidecar, patches: int) -> Sidecar:
        """A sidecar of what had not been compared, with what so many patches showed."""
        measured = {
            "checked_patches": patches,
            "max_abs_difference": self.difference,
            "label_agreement": self.share,
        }
        return sidecar.model_copy(update=measured)


def compare_on_patches(
    reference: WindowScorer,
    others: Sequence[WindowScorer],
    plan: Plan,
    cases: Sequence[Case],
    patches: int,
    objective: Objective,
    first: int = 0,
) -> list[Agreement]:
    """Of each of the other networks with the reference, which answers once for all of them.

    ``objective`` cuts the patches, ``first`` is its sampler's step to start from.
    """
    sampler = objective.sampler(plan, cases, batch_size=2)
    agreements = [Agreement() for _ in others]
    for step in range(first, first - (-patches // 2)):
        image, _ = sampler.batch(step)
        wanted = reference(image)
        for other, found in zip(others, agreements, strict=True):
            got = other(image)
            apart = torch.tensor([found.difference, float((wanted - got).abs().max())])
            found.difference = float(apart.max())  # torch's, which keeps what is not a number
            equal, all_of_them = objective.agreement(wanted, got)
            found.same, found.parts = found.same + equal, found.parts + all_of_them
    return agreements
