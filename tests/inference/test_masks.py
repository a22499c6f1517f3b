import numpy as np
import pytest

from segline.imaging.volume import Volume
from segline.inference.masks import MASKS

from ..conftest import small_plan


def test_volumes_are_of_the_values_in_the_file_whatever_gaps_they_have() -> None:
    labels = {"labels": {0: "background", 1: "core", 4: "enhancing"}}
    plan = small_plan().model_copy(update=labels)
    array = np.zeros((1, 4, 4, 4), np.uint8)
    array[0, 0, 0] = 4
    array[0, 1, 0, 0] = 1
    sheared = np.array([[2.0, 0, 1, 0], [0, 2, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]])
    told = MASKS.figures(plan, Volume(array, sheared))
    assert told["labelled_voxels"] == 5
    assert told["volumes_ml"] == {"core": pytest.approx(0.02), "enhancing": pytest.approx(0.08)}
