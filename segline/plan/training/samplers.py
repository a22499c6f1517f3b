"""Samplers by name: where patches are centred. One more is one class and one name in the union."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import Field, NonNegativeFloat, model_validator

from segline.plan.part import Label, Part, Share

if TYPE_CHECKING:
    import numpy as np


Place = TypeVar("Place")


class _Sampler(Part):
    """Patches anywhere, each taken as it is drawn."""

    def centre(
        self,
        labelled: Mapping[int, "np.ndarray"],  # noqa: ARG002
        shape: tuple[int, int, int],
        rng: "np.random.Generator",
    ) -> "np.ndarray":
        """A voxel of a case of this shape."""
        return rng.integers(0, shape)

    def pick(self, draw: Callable[[], Place], labelled_share: Callable[[Place], float]) -> Place:  # noqa: ARG002
        """One of the places that ``draw`` gives, of which ``labelled_share`` says how much has a label."""
        return draw()


class UniformSampler(_Sampler):
    """Anywhere."""

    name: Literal["uniform"] = "uniform"

    @property
    def words(self) -> str:
        """Where patches lie, for reports."""
        return "anywhere"


class LabelSampler(_Sampler):
    """More often on a label than anywhere, each label of a case as often as another."""

    name: Literal["label"] = "label"
    ratio: float = Field(default=3.0, ge=0, le=1e6)
    """Patches centred on a label to patches centred anywhere."""

    @property
    def words(self) -> str:
        """Where patches lie, for reports."""
        return f"{self.ratio:g} centred on a label to 1 anywhere"

    def centre(
        self, labelled: Mapping[int, "np.ndarray"], shape: tuple[int, int, int], rng: "np.random.Generator"
    ) -> "np.ndarray":
        """A voxel of a case of this shape; ``labelled`` are ``(n, 3)`` voxels of each label that it has."""
        if labelled and rng.random() * (self.ratio + 1) < self.ratio:
            voxels = list(labelled.values())[int(rng.integers(len(labelled)))]
            voxel: np.ndarray = voxels[rng.integers(len(voxels))]
            return voxel
        return super().centre(labelled, shape, rng)


class WeightedSampler(_Sampler):
    """On each label as often as its weight says, as TorchIO's ``LabelSampler`` does.

    Weights are shared out among the labels that a case has. That of the background is of patches anywhere:
    nearly all of a volume is background.
    """

    name: Literal["weighted"] = "weighted"
    weights: dict[Label, NonNegativeFloat] = Field(min_length=1, max_length=256)
    """By value in the label files, such as 0.2 of 0 and 0.8 of 1; what is not named has none."""

    @model_validator(mode="after")
    def _some_weight(self) -> "WeightedSampler":
        if not sum(self.weights.values()) > 0:
            raise ValueError("weights must add up to more than 0")
        return self

    @property
    def words(self) -> str:
        """Where patches lie, for reports."""
        shares = (f"{value} by {weight:g}" for value, weight in self.weights.items())
        return f"centred on labels by weight, {', '.join(shares)}"

    def centre(
        self, labelled: Mapping[int, "np.ndarray"], shape: tuple[int, int, int], rng: "np.random.Generator"
    ) -> "np.ndarray":
        """A voxel of a case of this shape; ``labelled`` are ``(n, 3)`` voxels of each label that it has."""
        there = {value: weight for value, weight in self.weights.items() if value in labelled or value == 0}
        drawn = rng.random() * sum(there.values())
        for value, weight in there.items():
            drawn -= weight
            if drawn < 0 and value in labelled:
                voxel: np.ndarray = labelled[value][rng.integers(len(labelled[value]))]
                return voxel
            if drawn < 0:
                break
        return super().centre(labelled, shape, rng)


class LabelledSampler(_Sampler):
    """Anywhere where enough of the patch is labelled, as MedicalZoo's sub-volumes are."""

    name: Literal["labelled"] = "labelled"
    least_share: Share = 0.01
    """Of the patch's voxels, that have a label other than the background."""
    draws: int = Field(default=10, ge=1, le=10_000)
    """At most, of one patch; where none has that share, the one with the most is taken."""

    @property
    def words(self) -> str:
        """Where patches lie, for reports."""
        return f"anywhere where {100 * self.least_share:g}% is labelled, in {self.draws} draws"

    def pick(self, draw: Callable[[], Place], labelled_share: Callable[[Place], float]) -> Place:
        """The first of the places that ``draw`` gives of which enough is labelled, or the best of them."""
        best = draw()
        most = labelled_share(best)
        for _ in range(self.draws - 1):
            if most >= self.least_share:
                break
            other = draw()
            share = labelled_share(other)
            if share > most:
                best, most = other, share
        return best


Sampler = Annotated[
    LabelSampler | UniformSampler | WeightedSampler | LabelledSampler, Field(discriminator="name")
]
