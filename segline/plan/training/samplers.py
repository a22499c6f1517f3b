"""Samplers by name: where patches are centred. One more is one class and one name in the union."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from segline.plan.part import Part

if TYPE_CHECKING:
    import numpy as np


class UniformSampler(Part):
    """Anywhere."""

    name: Literal["uniform"] = "uniform"

    def centre(
        self,
        labelled: Sequence["np.ndarray"],  # noqa: ARG002
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
        self, labelled: Sequence["np.ndarray"], shape: tuple[int, int, int], rng: "np.random.Generator"
    ) -> "np.ndarray":
        """A voxel of a case of this shape; ``labelled`` are ``(n, 3)`` voxels of each label that it has."""
        if labelled and rng.random() * (self.ratio + 1) < self.ratio:
            voxels = labelled[int(rng.integers(len(labelled)))]
            voxel: np.ndarray = voxels[rng.integers(len(voxels))]
            return voxel
        return UniformSampler().centre(labelled, shape, rng)


Sampler = Annotated[LabelSampler | UniformSampler, Field(discriminator="name")]
