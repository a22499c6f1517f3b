"""Layers that torch trains slowly or wrongly on a CPU, doing the same faster or rightly."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_FEW_CHANNELS = 8
"""Torch 2.13 on two cores, BatchNorm there and back on 4x3x40x56x40: 13 ms channels last, 1.3 contiguous."""


def quicken(network: nn.Module) -> nn.Module:
    """Let layers that torch trains slowly or wrongly on a CPU do better, in place; the state dict stays."""
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.BatchNorm3d) and layer.num_features < _FEW_CHANNELS:
                setattr(parent, name, _sharing(layer, _ContiguousBatchNorm(layer.num_features, layer.eps)))
            elif isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
                setattr(parent, name, _sharing(layer, _OneSlopePReLU()))
            elif type(layer) is nn.Conv3d and layer.kernel_size[0] > 1:
                setattr(parent, name, _sharing(layer, _ShallowConv3d(1, 1, 1, device="meta")))
    return network


def _sharing(layer: nn.Module, quick: nn.Module) -> nn.Module:
    """``quick`` with the very weights, buffers and settings of ``layer``."""
    vars(quick).update(vars(layer))
    return quick


class _ContiguousBatchNorm(nn.BatchNorm3d):
    """Over few channels that come last, torch's has nothing to vectorise."""

    def forward(self, features: Tensor) -> Tensor:
        normed = super().forward(features.contiguous())
        return normed.contiguous(memory_format=torch.channels_last_3d)


class _ShallowConv3d(nn.Conv3d):
    """Where the features' first axis is shorter than the kernel's, its gradient in bfloat16 is whatever lay
    in memory, up to 1e37 (torch 2.13); in float32 it is right."""

    def forward(self, features: Tensor) -> Tensor:
        if features.shape[2] >= self.kernel_size[0]:
            return super().forward(features)
        with torch.autocast("cpu", enabled=False):
            return super().forward(features.float())


class _OneSlopePReLU(nn.PReLU):
    """Torch's computes and keeps the slope's gradient voxel by voxel before it adds them up."""

    def forward(self, features: Tensor) -> Tensor:
        activated: Tensor = _OneSlope.apply(features, self.weight)
        return activated


class _OneSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(features, slope)
        return functional.leaky_relu(features, float(slope))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        features, slope = ctx.saved_tensors
        to_slope = (features.clamp(max=0) * gradient).sum(dtype=slope.dtype).view_as(slope)
        to_features = torch.ops.aten.leaky_relu_backward(gradient, features, float(slope), False)
        return to_features, to_slope
