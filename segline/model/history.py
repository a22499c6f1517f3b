"""The history of a training: its curves, and whose weights were kept."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from segline.common.documents import Document


class TrainingPoint(BaseModel):
    """The state of a training at one moment; the curves are a list of these."""

    model_config = ConfigDict(frozen=True)

    network: int = 0
    """Of several that were trained at once, from seeds of their own."""
    step: int
    epoch: float
    minutes: float
    """Of training, over all resumptions."""
    loss: float
    learning_rate: float
    val_dice: dict[str, float] | None = None
    """Mean over the validation cases of each label, where there was a validation."""

    @property
    def mean_val_dice(self) -> float | None:
        """Over labels."""
        return sum(self.val_dice.values()) / len(self.val_dice) if self.val_dice else None


def _none_below_zero(score: object) -> object:
    """Histories of before said -1 for none."""
    return None if isinstance(score, float | int) and score < 0 else score


class History(Document):
    """What a training did."""

    kind = "a training history"
    stage = "train"

    device: str
    seed: int
    resumed_from_step: int | None
    """Where the last interruption was taken up again."""
    steps: int
    """Of all networks together."""
    minutes: float
    kept_steps: tuple[int, ...]
    """Whose weights were kept; one of each network, where several were trained at once."""
    best_val_dice: Annotated[float | None, BeforeValidator(_none_below_zero)]
    """Of the weights that were kept; of several networks, that of the mean of their scores.

    ``None`` where no validation took place.
    """
    points: tuple[TrainingPoint, ...]

    @property
    def kept(self) -> str:
        """In words, whose weights were kept."""
        *others, last = self.kept_steps
        return f"steps {', '.join(map(str, others))} and {last}" if others else f"step {last}"

    @property
    def networks(self) -> list[tuple[TrainingPoint, ...]]:
        """The points of each network."""
        numbers = range(len(self.kept_steps))
        return [tuple(point for point in self.points if point.network == number) for number in numbers]
