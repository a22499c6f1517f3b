"""The loss of class scores."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from segline.training.objectives.objective import unchanged

_SMOOTH = 1e-5
"""Keeps the Dice of a class that is nowhere in the batch finite."""


def dice_cross_entropy(
    scores: Tensor,
    label: Tensor,
    add_up: Callable[[Tensor], Tensor] = unchanged,
    known: Tensor | None = None,
) -> Tensor:
    """Soft Dice loss of the whole batch, mean over the foreground classes, plus mean cross-entropy.

    MONAI's ``DiceCELoss(include_background=False, softmax=True, batch=True)``, and its gradient, from one
    softmax instead of three passes.

    Args:
        scores: ``(B, K, X, Y, Z)`` float32.
        label: ``(B, X, Y, Z)`` class indices.
        add_up: gives the sums over the whole batch, where this is a part of it.
        known: ``(B, X, Y, Z)`` bool, the voxels that count; all by default. Elsewhere ``label`` may be
            anything.
    """
    scores = scores.contiguous()  # of channels last, a softmax over few channels is many times slower
    log_share = functional.log_softmax(scores, 1)
    share = log_share.exp()
    if known is not None:
        share, label = share * known[:, None], label * known
    truth = torch.zeros_like(share).scatter_(1, label.long()[:, None], 1.0)
    if known is not None:
        truth = truth * known[:, None]
    space = (0, 2, 3, 4)
    both, either = (share * truth).sum(space), (share + truth).sum(space)
    likelihood = (log_share * truth).sum()
    voxels = likelihood.new_full((), label.numel()) if known is None else known.sum().to(likelihood)
    classes = scores.shape[1]
    sums = add_up(torch.cat([both, either, torch.stack([likelihood, voxels])]))
    both, either, (likelihood, voxels) = sums.split([classes, classes, 2])
    dice = (2 * both + _SMOOTH) / (either + _SMOOTH)
    return 1 - dice[1:].mean() - likelihood / voxels.clamp(min=1)
