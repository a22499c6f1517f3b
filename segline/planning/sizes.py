"""How large images are on a plan's grid, and what its patch is beside them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from segline.common.wording import by
from segline.imaging.geometry import Shape, Spacing, as_shape
from segline.imaging.resampling import resampled_shape
from segline.plan import Plan
from segline.planning.proposals import accepted_patch, propose_patch


@dataclass(frozen=True)
class Sizes:
    """Of a data set's images once they are resampled, in voxels along each axis by itself."""

    least: Shape
    median: Shape
    most: Shape

    @classmethod
    def on_grid(cls, plan: Plan, geometry: Iterable[tuple[Spacing, Shape]]) -> "Sizes":
        """Of images of such spacing in mm and voxels, axes in RAS order, one or more, on the plan's grid."""
        return cls.among(_resampled(plan, geometry))

    @classmethod
    def among(cls, shapes: Sequence[Shape]) -> "Sizes":
        """Of images of these shapes, one or more.

        >>> Sizes.among([(30, 50, 36), (35, 41, 36), (40, 45, 38)])
        Sizes(least=(30, 41, 36), median=(35, 45, 36), most=(40, 50, 38))
        """
        every = np.array(shapes)
        middle = np.median(every, axis=0).astype(int)
        return cls(as_shape(every.min(axis=0)), as_shape(middle), as_shape(every.max(axis=0)))


def sizes_in_words(plan: Plan, geometry: Iterable[tuple[Spacing, Shape]]) -> tuple[str, str]:
    """A line on the images, and one on the patch and on what divides it.

    Args:
        plan: of which they are.
        geometry: spacing in mm and voxels of each image, axes in RAS order; one or more.
    """
    shapes = _resampled(plan, geometry)
    sizes = Sizes.among(shapes)
    images = (
        f"images at {by(plan.preprocessing.spacing_mm)} mm, axis by axis: {by(sizes.least)} voxels at least, "
        f"{by(sizes.median)} in the median, {by(sizes.most)} at most"
    )
    return images, _patch(plan, shapes)


def _resampled(plan: Plan, geometry: Iterable[tuple[Spacing, Shape]]) -> list[Shape]:
    return [resampled_shape(shape, have, plan.preprocessing.spacing_mm) for have, shape in geometry]


def _patch(plan: Plan, shapes: Sequence[Shape]) -> str:
    patch, stride = plan.training.patch_size, plan.network.total_stride
    told = f"patch {by(patch)}, divisible by the network's stride {by(stride)}"
    suggested = accepted_patch(propose_patch(shapes), plan.network)
    if plan.network.answers == "classes" or suggested == patch:
        return told
    return f"{told}; suggested for these sizes: {by(suggested)}"
