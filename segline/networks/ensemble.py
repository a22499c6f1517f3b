"""Several networks as one: the mean of their class scores."""

from collections.abc import Sequence

from torch import Tensor, nn


class Ensemble(nn.Module):
    """Several networks as one: the mean of their class scores."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, windows: Tensor) -> Tensor:
        """``(B, C, x, y, z)`` to ``(B, K, x, y, z)``."""
        total: Tensor = self.members[0](windows)
        for member in self.members[1:]:
            total = total + member(windows)
        return total / len(self.members)


def separate(network: nn.Module) -> Sequence[nn.Module]:
    """The networks whose class scores ``network`` is the mean of; itself alone, where it is one."""
    return list(network.members) if isinstance(network, Ensemble) else [network]
