"""What answers one image after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from segline.backends import Backend
from segline.backends.choice import AUTO, open_chosen
from segline.common.digests import sha256_of_file, sha256_of_json
from segline.imaging.preprocessing import PREPROCESSING_VERSION
from segline.imaging.volume import Volume
from segline.inference.answers import Answers
from segline.inference.doubts import doubts
from segline.kinds import kind_of
from segline.model.package import Model


@dataclass(frozen=True)
class Answerer:
    """A model on a backend."""

    model: Model
    name: str = AUTO
    """Of the backend."""
    device: str = "auto"

    @cached_property
    def answers(self) -> Answers:
        """Of the model's kind of task."""
        return kind_of(self.model.plan.kind).answers

    @cached_property
    def predictor(self) -> Callable[[Volume], Any]:
        """From a volume to its answer."""
        return self.answers.predictor(self.model.plan, self.backend)

    @cached_property
    def backend(self) -> Backend:
        """Opened."""
        return open_chosen(self.name, self.model, self.device)

    def answer(self, volume: Volume) -> tuple[Any, dict[str, Any]]:
        """One, and what a :class:`~segline.serving.folders.journal.Row` says of it.

        Raises:
            SeglineError: see the predictor of :class:`~segline.inference.answers.Answers`.
        """
        answer, plan = self.predictor(volume), self.model.plan
        return answer, {
            "figures": self.answers.figures(plan, answer),
            "remarks": tuple(doubts(plan, volume)),
        }

    @cached_property
    def digest(self) -> str:
        """Of all that an answer depends on besides the image: answers of another are made anew."""
        weights = sha256_of_file(self.model.weights)
        return sha256_of_json([self.model.plan.digest, weights, self.backend.name, PREPROCESSING_VERSION])
