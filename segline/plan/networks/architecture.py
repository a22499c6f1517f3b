"""What every network's settings tell of it."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from segline.plan.part import Part

Stride = tuple[int, int, int]
Answers = Literal["voxels", "classes"]
"""Class scores of each voxel ``(B, K, x, y, z)``, or of the whole window ``(B, K)``."""


class Architecture(Part, ABC):
    """Settings of a network, and what follows from them."""

    answers: ClassVar[Answers] = "voxels"

    @model_validator(mode="before")
    @classmethod
    def _masks_are_of_volumes(cls, values: Any) -> Any:
        if cls.answers == "voxels" and isinstance(values, dict) and "spatial_dims" in values:
            name = values.get("name", cls.model_fields["name"].default)
            raise ValueError(f"{name} answers voxels of volumes, always in 3-D; leave spatial_dims out")
        return values

    @property
    @abstractmethod
    def total_stride(self) -> Stride:
        """Spatial sizes must be multiples of this, voxels."""

    @property
    def is_flat(self) -> bool:
        """Whether it sees images, which are windows one voxel thick along the third axis."""
        return False

    @property
    def has_instance_norm(self) -> bool:
        """Whether there is one at the coarsest level, of which a single voxel has no statistics."""
        return False

    @property
    def needs_fixed_window(self) -> bool:
        """Whether its answer depends on the window, which must then be the training's everywhere."""
        return self.has_instance_norm

    @property
    def needs_fixed_graph(self) -> bool:
        """Whether its exported graph is of one size, the training's patch."""
        return False

    @property
    def heads(self) -> int:
        """Coarser answers that a training compares with the truth besides, and that are dropped after it."""
        return 0

    @property
    @abstractmethod
    def words(self) -> str:
        """In words, for reports."""

    @abstractmethod
    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """Name of the class in ``monai.networks.nets``, and the arguments that make it."""

    def monai_to_train(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """The same with its ``heads``: in training mode it gives ``(B, 1 + heads, K, x, y, z)``."""
        return self.monai(channels, classes)

    def fault_of(self, channels: int) -> str:  # noqa: ARG002
        """What forbids so many channels of an image; empty if nothing does."""
        return ""

    @abstractmethod
    def feature_floats(self, voxels: int) -> int:
        """Estimate of the numbers that a training step on so many voxels keeps, forward and backward."""

    @classmethod
    def proposed(cls, halvings: Stride, full_resolution: bool) -> dict[str, Any]:  # noqa: ARG003
        """Settings for patches whose axes can be halved so often; the first level may stay unhalved."""
        return {}
