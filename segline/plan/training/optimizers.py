"""Optimizers by name: how a gradient becomes a step. One more is one class and one name in the union."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from segline.plan.part import Part

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer as TorchOptimizer


class AdamW(Part):
    """Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019."""

    name: Literal["adamw"] = "adamw"

    @property
    def moments(self) -> int:
        """Numbers that it keeps of each weight."""
        return 2

    def make(self, weights: Iterable["Parameter"], rate: float, decay: float) -> "TorchOptimizer":
        """Torch's, at a learning rate and with a weight decay."""
        import torch

        return torch.optim.AdamW(weights, lr=rate, weight_decay=decay, fused=True)


class Sgd(Part):
    """Stochastic gradient descent with Nesterov's momentum, as nnU-Net trains."""

    name: Literal["sgd"] = "sgd"
    momentum: float = Field(default=0.99, gt=0, lt=1)

    @property
    def moments(self) -> int:
        """Numbers that it keeps of each weight."""
        return 1

    def make(self, weights: Iterable["Parameter"], rate: float, decay: float) -> "TorchOptimizer":
        """Torch's, at a learning rate and with a weight decay."""
        import torch

        return torch.optim.SGD(weights, lr=rate, momentum=self.momentum, nesterov=True, weight_decay=decay)


class Adam(Part):
    """Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015; decay is part of the gradient."""

    name: Literal["adam"] = "adam"

    @property
    def moments(self) -> int:
        """Numbers that it keeps of each weight."""
        return 2

    def make(self, weights: Iterable["Parameter"], rate: float, decay: float) -> "TorchOptimizer":
        """Torch's, at a learning rate and with a weight decay."""
        import torch

        return torch.optim.Adam(weights, lr=rate, weight_decay=decay, fused=True)


class RmsProp(Part):
    """Tieleman and Hinton, Coursera lecture 6.5, 2012."""

    name: Literal["rmsprop"] = "rmsprop"
    momentum: float = Field(default=0.0, ge=0, lt=1)

    @property
    def moments(self) -> int:
        """Numbers that it keeps of each weight."""
        return 2 if self.momentum else 1

    def make(self, weights: Iterable["Parameter"], rate: float, decay: float) -> "TorchOptimizer":
        """Torch's, at a learning rate and with a weight decay."""
        import torch

        return torch.optim.RMSprop(weights, lr=rate, momentum=self.momentum, weight_decay=decay)


Optimizer = Annotated[AdamW | Sgd | Adam | RmsProp, Field(discriminator="name")]
