"""BatchNorm folded into the convolutions before it."""

import copy
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode in which every BatchNorm is part of the convolution before it.

    The same function to rounding, with fewer layers; a network without BatchNorm stays as it is.
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
