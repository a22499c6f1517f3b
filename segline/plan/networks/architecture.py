"""What every network's settings tell of it."""

from typing import Any, ClassVar, Literal, Protocol


class Architecture(Protocol):
    """Settings of a network, and what follows from them."""

    answers: ClassVar[Literal["voxels", "classes"]]
    """Of what it gives class scores: of each voxel of a window, or of the window as a whole."""

    @property
    def total_stride(self) -> tuple[int, int, int]:
        """Spatial sizes must be multiples of this, voxels."""

    @property
    def needs_fixed_window(self) -> bool:
        """Whether its answer depends on the window, which must then be the training's everywhere."""

    @property
    def first_convolutions(self) -> int:
        """Convolutions of the level that sees the windows; int8 keeps them in float."""

    @property
    def words(self) -> str:
        """In words, for reports."""

    def monai(self, channels: int, classes: int) -> tuple[str, dict[str, Any]]:
        """Name of the class in ``monai.networks.nets``, and the arguments that make it."""

    def feature_floats(self, voxels: int) -> int:
        """Estimate of the numbers that a training step on so many voxels keeps, forward and backward."""

    @classmethod
    def proposed(cls, halvings: tuple[int, int, int], full_resolution: bool) -> dict[str, Any]:
        """Settings for patches whose axes can be halved so often; the first level may stay unhalved."""
