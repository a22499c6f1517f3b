"""The script that a bundle carries whose labels are parted by planes."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from segline.inference import planes
from segline.inference.planes import centre_line, first_above, part, place_of

SCRIPT = "scripts/planes.py"
_HEAD = '''"""Labels that a plane parts; written by segline."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = Any'''


def functions_for(array: Any) -> Any:  # noqa: ARG001
    """PyTorch's, which is all that a bundle has."""
    return torch


def parted(scores: Tensor, planes: Sequence[tuple[Any, ...]]) -> Tensor:
    """Scores ``(K, X, Y, Z)`` before softmax, the background's first, of labels that planes part."""
    leads = scores[1:] - scores[:1]
    part(leads, planes)
    return torch.cat([torch.zeros_like(scores[:1]), leads])


def script() -> str:
    """A module that needs PyTorch and NumPy alone."""
    constants = "\n".join(f"{name} = {getattr(planes, name)!r}" for name in ("_SUREST", "_NEVER", "POINTS"))
    carried = (functions_for, part, place_of, first_above, centre_line, parted)
    functions = (inspect.getsource(one) for one in carried)
    return "\n\n\n".join([f"{_HEAD}\n{constants}", *functions])
