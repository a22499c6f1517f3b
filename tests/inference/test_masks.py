"""What is said of a mask."""

import numpy as np

from segline.imaging.volume import Volume
from segline.inference.masks import MASKS

from ..conftest import small_plan


def test_volumes_are_of_the_values_that_the_mask_has() -> None:
    plan = small_plan(labels=2).model_copy(update={"labels": {0: "background", 1: "core", 4: "rim"}})
    mask = np.zeros((1, 10, 10, 10), np.uint8)
    mask[0, :2], mask[0, 5] = 1, 4
    figures = MASKS.figures(plan, Volume(mask, np.diag([2.0, 2.0, 2.5, 1.0])))
    assert figures == {"labelled_voxels": 300, "volumes_ml": {"core": 2.0, "rim": 1.0}}
