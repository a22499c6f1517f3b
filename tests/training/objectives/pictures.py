"""Cases whose image says what a network that reads it finds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from segline.data.cases.case import Case


def pictures(case: Case, specks: Sequence[int]) -> list[Case]:
    """Cases whose label is a block and whose image says where a network that reads it finds one: there, and
    in as many specks far away."""
    made = []
    for count in specks:
        label = np.zeros((32, 32, 32), np.uint8)
        label[4:14, 4:14, 4:14] = 1
        seen = label.copy()
        seen[20 : 20 + 2 * count : 2, 28, 28] = 1
        made.append(replace(case, image=seen[None].astype(np.float16), label=label))
    return made


def reads(windows: Tensor) -> Tensor:
    return torch.cat([torch.full_like(windows, 0.5), windows], dim=1)
