"""The training loss is MONAI's."""

import pytest
import torch
from monai.losses import DiceCELoss
from torch import Tensor

from segline.training.objectives.loss import dice_cross_entropy


def batch(classes: int, last: bool = False) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(classes)
    scores = 3 * torch.randn((2, classes, 6, 5, 4), generator=chance)
    label = torch.randint(0, classes, (2, 6, 5, 4), generator=chance, dtype=torch.uint8)
    layout = torch.channels_last_3d if last else torch.contiguous_format
    return scores.contiguous(memory_format=layout).requires_grad_(), label


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_it_and_its_gradient_are_monai_s(classes, last):
    scores, label = batch(classes, last)
    monai = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    wanted, found = monai(scores, label[:, None]), dice_cross_entropy(scores, label)
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad(loss, scores)[0] for loss in (found, wanted)]
    torch.testing.assert_close(*gradients)


def test_a_class_that_is_nowhere_costs_no_more_than_its_false_voxels():
    scores, label = batch(3)
    certain = 50 * torch.nn.functional.one_hot(label.long(), 3).movedim(-1, 1).float()
    label[label == 2] = 0
    certain[:, 2] = -50
    certain[:, 0] = 50 * (label == 0) - 25
    certain[:, 1] = 50 * (label == 1) - 25
    assert float(dice_cross_entropy(certain, label)) == pytest.approx(0, abs=1e-4)
    assert torch.isfinite(dice_cross_entropy(scores, label))


def test_parts_whose_sums_are_added_up_have_the_loss_of_the_whole():
    scores, label = batch(3)
    sums: list[Tensor] = []

    def note(part: Tensor) -> Tensor:
        sums.append(part)
        return part

    for number in range(2):
        dice_cross_entropy(scores[number : number + 1], label[number : number + 1], note)
    whole = dice_cross_entropy(scores, label)
    torch.testing.assert_close(dice_cross_entropy(scores[:1], label[:1], lambda _: sum(sums)), whole)


def test_voxels_of_which_nothing_is_known_change_nothing():
    scores, label = batch(3)
    known = torch.rand(label.shape, generator=torch.Generator().manual_seed(1)) > 0.3
    ignoring = torch.where(known, label, 255)
    loss = dice_cross_entropy(scores, ignoring, known=known)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert not gradient[:, :, ~known[0]][0].any()
    other = scores.detach() + 9 * (~known)[:, None]
    torch.testing.assert_close(dice_cross_entropy(other, ignoring, known=known), loss.detach())


def test_where_everything_is_known_it_is_the_same():
    scores, label = batch(3)
    known = torch.ones_like(label, dtype=torch.bool)
    torch.testing.assert_close(
        dice_cross_entropy(scores, label, known=known), dice_cross_entropy(scores, label)
    )
