"""Deep supervision: the loss of a network that answers at several depths while it is trained."""

from collections.abc import Callable

import torch
from torch import Tensor

from segline.plan import Plan
from segline.training.objectives.objective import Objective, unchanged


def loss_of_heads(
    objective: Objective,
    plan: Plan,
    scores: Tensor,
    target: Tensor,
    add_up: Callable[[Tensor], Tensor] = unchanged,
) -> Tensor:
    """The objective's loss, of the answer ``(B, K, ...)`` or of all answers ``(B, 1 + heads, K, ...)``.

    Each head weighs half as much as the finer one before it, together 1: nnU-Net's weights (Isensee et al.,
    Nature Methods 2021). MONAI enlarges the coarser answers, where nnU-Net makes the truth smaller.
    """
    if plan.network.heads == 0:
        return objective.loss(plan, scores, target, add_up)
    shares = [0.5**head for head in range(1 + plan.network.heads)]
    losses = [objective.loss(plan, answer, target, add_up) for answer in scores.unbind(1)]
    weighed = torch.stack(losses) * scores.new_tensor(shares)
    return weighed.sum() / sum(shares)
