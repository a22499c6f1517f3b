"""The history of a training: its curves, and whose weights were kept."""

from typing import Annotated

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

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
    figure: str = "dice"
    """Name of what validation measures."""
    scores: dict[str, float] | None = Field(default=None, validation_alias=AliasChoices("scores", "val_dice"))
    """Its mean over the validation cases of each label, where there was a validation."""

    details: dict[str, float] = Field(default={}, exclude_if=lambda details: not details)
    """What else was measured, as ``figure/of what``, such as ``recall/Hand``."""

    @property
    def score(self) -> float | None:
        """Over labels."""
        return sum(self.scores.values()) / len(self.scores) if self.scores else None


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
    best_score: Annotated[float | None, BeforeValidator(_none_below_zero)] = Field(
        validation_alias=AliasChoices("best_score", "best_val_dice")
    )
    """Of the weights that were kept; of several networks, that of the mean of their scores.

    ``None`` where no validation took place.
    """
    points: tuple[TrainingPoint, ...]

    @property
    def figure(self) -> str:
        """Name of what validation measured; Dice where there is nothing to tell."""
        return self.points[0].figure if self.points else "dice"

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
