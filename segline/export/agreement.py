"""Networks on the same patches: by how much their scores differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

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

    def add(self, wanted: Tensor, got: Tensor, objective: Objective) -> None:
        """Count some patches: the reference's scores and the network's, ``(B, K, x, y, z)`` or ``(B, K)``."""
        so_far = torch.tensor(self.difference)
        self.difference = float(torch.maximum(so_far, (wanted - got).abs().max()))  # keeps what is no number
        same, parts = objective.agreement(wanted, got)
        self.same, self.parts = self.same + same, self.parts + parts

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
            found.add(wanted, other(image), objective)
    return agreements
