"""Two networks on the same patches: by how much their scores differ."""

from collections.abc import Sequence

import torch

from segline.data.cases.case import Case
from segline.inference.stitching import WindowScorer
from segline.plan import Plan
from segline.training.objectives.objective import Objective


def compare_on_patches(
    networks: tuple[WindowScorer, WindowScorer],
    plan: Plan,
    cases: Sequence[Case],
    patches: int,
    objective: Objective,
    first: int = 0,
) -> tuple[float, float]:
    """Largest absolute score difference and share of equal parts of the answers of two networks.

    The difference is not finite where a score is not. ``objective`` cuts the patches, ``first`` is its
    sampler's step to start from.
    """
    reference, other = networks
    sampler = objective.sampler(plan, cases, batch_size=2)
    largest, same, parts = torch.zeros(()), 0, 0
    for step in range(first, first - (-patches // 2)):
        image, _ = sampler.batch(step)
        wanted, got = reference(image), other(image)
        largest = torch.maximum(largest, (wanted - got).abs().max())
        equal, all_of_them = objective.agreement(wanted, got)
        same, parts = same + equal, parts + all_of_them
    return float(largest), same / parts
