"""Whether figures are shown to be worse."""

import pytest
import torch

from segline.evaluation.equivalence import shown_worse


@pytest.mark.parametrize(
    ("dice", "before", "worse"),
    [
        ([0.80, 0.80, 0.80], [0.90, 0.90, 0.91], True),
        ([0.90, 0.90, 0.90], [0.80, 0.80, 0.81], False),
        ([0.70, 0.95, 0.90], [0.90, 0.90, 0.80], False),  # the mean is lower, and as often as not it is not
        ([0.90, 0.90], [0.90, 0.90], False),
        ([0.8], [0.9], True),
    ],
)
def test_worse_is_what_is_lower_by_more_than_chance(
    dice: list[float], before: list[float], worse: bool
) -> None:
    assert shown_worse(torch.tensor(dice), torch.tensor(before)) is worse
