"""How large images are on a plan's grid, and what is said of the patch."""

from segline.imaging.geometry import Shape, Spacing
from segline.planning.sizes import sizes_in_words

from ..conftest import small_plan

GEOMETRY: list[tuple[Spacing, Shape]] = [
    ((1.0, 1.0, 1.0), (30, 50, 36)),
    ((2.0, 1.0, 1.0), (18, 41, 36)),
    ((1.0, 1.0, 2.0), (40, 45, 19)),
]


def test_the_least_the_median_and_the_largest_size_are_of_the_resampled_images() -> None:
    images, _ = sizes_in_words(small_plan(), GEOMETRY)
    assert images.endswith("30x41x36 voxels at least, 35x45x36 in the median, 40x50x37 at most")
    coarser, _ = sizes_in_words(small_plan(preprocessing={"spacing_mm": [2, 2, 2]}), GEOMETRY)
    assert coarser.startswith("images at 2x2x2 mm, axis by axis: 16x21x19 voxels at least")


def test_a_patch_that_the_task_sets_is_told_beside_the_suggested_one() -> None:
    _, patch = sizes_in_words(small_plan(), GEOMETRY)
    assert (
        patch
        == "patch 16x16x16, divisible by the network's stride 2x2x2; suggested for these sizes: 32x40x32"
    )


def test_the_suggested_patch_is_told_once() -> None:
    windows = {"smallest_window": [32, 40, 32], "largest_window": [32, 40, 32]}
    _, patch = sizes_in_words(small_plan(training={"patch_size": [32, 40, 32]}, inference=windows), GEOMETRY)
    assert patch == "patch 32x40x32, divisible by the network's stride 2x2x2"
