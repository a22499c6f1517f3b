"""Networks of two dimensions, for images of one slice."""

from torch import Tensor, nn


class Flat(nn.Module):
    """A network of two dimensions that sees ``(B, C, X, Y, 1)`` as ``(B, C, X, Y)``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> Tensor:
        """The scores of windows of one slice."""
        scores: Tensor = self.network(windows.squeeze(-1))
        return scores
