"""Samplers by name: where patches are centred. One more is one class and one name in the union."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeFloat, model_validator

from segline.plan.part import Label, Part

if TYPE_CHECKING:
    import numpy as np


class UniformSampler(Part):
    """Anywhere."""

    name: Literal["uniform"] = "uniform"

    def centre(
        self,
        labelled: Mapping[int, "np.ndarray"],  # noqa: ARG002
        shape: tuple[int, int, int],
        rng: "np.random.Generator",
    ) -> "np.ndarray":
        """A voxel of a case of this shape."""
        return rng.integers(0, shape)


class LabelSampler(Part):
    """More often on a label than anywhere, each label of a case as often as another."""

    name: Literal["label"] = "label"
    ratio: float = Field(default=3.0, ge=0, le=1e6)
    """Patches centred on a label to patches centred anywhere."""

    def centre(
        self, labelled: Mapping[int, "np.ndarray"], shape: tuple[int, int, int], rng: "np.random.Generator"
    ) -> "np.ndarray":
        """A voxel of a case of this shape; ``labelled`` are ``(n, 3)`` voxels of each label that it has."""
        if labelled and rng.random() * (self.ratio + 1) < self.ratio:
            voxels = list(labelled.values())[int(rng.integers(len(labelled)))]
            voxel: np.ndarray = voxels[rng.integers(len(voxels))]
            return voxel
        return UniformSampler().centre(labelled, shape, rng)


class WeightedSampler(Part):
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
        return UniformSampler().centre(labelled, shape, rng)


Sampler = Annotated[LabelSampler | UniformSampler | WeightedSampler, Field(discriminator="name")]
