"""The state of a training: all that a checkpoint keeps, so that a training goes on as if unbroken."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.model.history import TrainingPoint
from segline.networks.catalogue import build_network_to_train, shipped_weights
from segline.networks.on_cpu import quicken
from segline.networks.running import channels_last
from segline.networks.torch_files import require_whole
from segline.plan import Plan
from segline.training.averaging import WeightAverage
from segline.training.ranks import Ranks

_NOTHING_CHOSEN: dict[str, Any] = {"cases": None, "dice": -1.0, "step": 0, "weights": {}}


@dataclass(frozen=True)
class Checkpoint:
    """A file that keeps the state of one training."""

    path: Path
    key: str = ""
    """Digest of everything the state depends on; the file of another key is an error."""
    saved: Callable[[], None] = lambda: None
    """Called after each save."""

    def read(self) -> dict[str, Any] | None:
        """What was written, or ``None`` where nothing was.

        Raises:
            SeglineError: damaged, or of another training.
        """
        if not self.path.is_file():
            return None
        try:
            require_whole(self.path)
            content: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            same = content["key"] == self.key
        except Exception as error:  # torch raises anything from OSError to UnpicklingError here
            raise self.damaged(error) from error
        if not same:
            raise SeglineError(f"{self.path}: checkpoint of another training; remove it to start anew")
        return content

    def write(self, content: dict[str, Any]) -> None:
        """Write atomically, and tell of it."""
        with atomic.new_file(self.path) as scratch:
            torch.save({"key": self.key, **content}, scratch)
        self.saved()

    def damaged(self, error: Exception) -> SeglineError:
        """What a file is told as that cannot be read or used."""
        return SeglineError(
            f"{self.path}: a damaged checkpoint, or one of another version of segline "
            f"({type(error).__name__}); remove it to start anew"
        )


@dataclass(frozen=True)
class Choice:
    """The weights that validation chose."""

    cases: Tensor
    """``(cases,)`` float64: the score of each validation case."""
    step: int
    weights: dict[str, Tensor]
    """State dict, on the CPU."""

    @property
    def score(self) -> float:
        """The mean over the validation cases."""
        return float(self.cases.mean())


@dataclass
class TrainingState:
    """Weights, optimizer, progress, curves and choice of a training.

    Attributes:
        network: the one that is trained.
        average: of its weights, which is validated and shipped.
        recent: losses of the latest steps, on the device.
        best: ``None`` before the first validation.
        resumed_from: step at which the last interruption was taken up again.
    """

    network: nn.Module
    average: WeightAverage
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    minutes: float = 0.0
    recent: list[Tensor] = field(default_factory=list)
    points: list[TrainingPoint] = field(default_factory=list)
    best: Choice | None = None
    resumed_from: int | None = None

    @classmethod
    def fresh(
        cls, plan: Plan, device: torch.device, ranks: Ranks, half: torch.dtype | None
    ) -> "TrainingState":
        """Of a training that begins, in ``half`` precision if one is given.

        Torch's random numbers are the plan's from here on.
        """
        settings = plan.training
        torch.manual_seed(plan.seed)
        network = channels_last(build_network_to_train(plan).to(device))
        network = quicken(network) if device.type == "cpu" else ranks.synchronise(network)
        return cls(
            network=network,
            average=WeightAverage(network, settings.ema_decay),
            optimizer=settings.optimizer.make(
                network.parameters(), settings.learning_rate, settings.weight_decay
            ),
            scaler=torch.amp.GradScaler(device.type, enabled=half == torch.float16),
        )

    def content(self) -> dict[str, Any]:
        """For a checkpoint: tensors, numbers and what is made of them, never code."""
        best = self.best
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "minutes": self.minutes,
            "recent": self.recent,
            "points": [point.model_dump() for point in self.points],
            "best": {**vars(best), "dice": best.score} if best else _NOTHING_CHOSEN,
            "resumed_from": self.resumed_from,
        }

    def restore(self, content: dict[str, Any], device: torch.device) -> None:
        """Take over what :meth:`content` gave."""
        self.network.load_state_dict(content["network"])
        self.average.network.load_state_dict(content["average"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.scaler.load_state_dict(content["scaler"])
        self.step, self.minutes = content["step"], content["minutes"]
        self.resumed_from = content["resumed_from"]
        self.recent = [loss.to(device) for loss in content["recent"]]
        self.points = [TrainingPoint(**point) for point in content["points"]]
        best = content["best"]
        if best["cases"] is not None:
            self.best = Choice(best["cases"], best["step"], best["weights"])

    def choose(self, cases: Tensor) -> None:
        """Keep the averaged weights, whose scores ``(cases,)`` are, in place of those kept before."""
        self.best = Choice(cases, self.step, shipped_weights(self.average.network))
