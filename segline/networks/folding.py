"""BatchNorm folded into the convolutions before it."""

import copy
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode in which the BatchNorm of MONAI's ``Convolution`` is part of its kernel.

    The same function to rounding, with fewer layers; other BatchNorms stay as they are.
    """
    folded = copy.deepcopy(network).eval()
    for block in folded.modules():
        _fold_block(block)
    return folded


def _fold_block(block: Any) -> None:
    """Fold the norm of a MONAI ``Convolution`` block (``conv``, then ``adn`` with the norm ``N``)."""
    norm = getattr(getattr(block, "adn", None), "N", None)
    if isinstance(norm, nn.BatchNorm3d):
        transposed = isinstance(block.conv, nn.ConvTranspose3d)
        block.conv = fuse_conv_bn_eval(block.conv, norm, transpose=transposed)
        block.adn.N = nn.Identity()
