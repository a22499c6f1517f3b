"""What label maps tell of where planes lie."""

import numpy as np
import pytest

from segline.inference.planes import centre_line
from segline.training.objectives.centre_lines import learn_line, place_in


def bent(rng: np.random.Generator, tells: bool = True) -> tuple[np.ndarray, int]:
    """A tail of class 2 and a head of class 1, which begins where the shape bends, if that ``tells``."""
    label = np.zeros((28, 40, 16), np.uint8)
    first, last = rng.integers(2, 6), rng.integers(33, 38)
    bend = int(rng.integers(12, 28))
    place = bend if tells else int(rng.integers(12, 28))
    wide = rng.integers(8, 12)
    label[3 : 3 + wide, first:bend, 4:12] = 2
    label[9 : 9 + wide, bend:last, 3:11] = 2
    label[:, place:][label[:, place:] > 0] = 1
    return label, place


def test_where_a_shape_bends_is_learned_and_known_in_another() -> None:
    rng = np.random.default_rng(0)
    learned = learn_line([bent(rng)[0] for _ in range(60)], axis=1, lower=2, upper=1)
    assert learned and learned.squared_error < 1
    errors = []
    for _ in range(40):
        label, place = bent(rng)
        centre, measures = centre_line(label > 0, 1)
        errors.append(centre + learned.start + np.dot(learned.weights, measures) - place)
    assert np.mean(np.square(errors)) < 3 * learned.squared_error


def test_a_shape_that_tells_nothing_is_known_to() -> None:
    """Places from 12 to 27 have a variance of 21."""
    rng = np.random.default_rng(1)
    learned = learn_line([bent(rng, tells=False)[0] for _ in range(60)], axis=1, lower=2, upper=1)
    assert learned and learned.squared_error > 15


@pytest.mark.parametrize(("both", "learns"), [(10, True), (9, False)])
def test_ten_label_maps_with_both_labels_are_needed(both: int, learns: bool) -> None:
    rng = np.random.default_rng(2)
    maps = [bent(rng)[0] for _ in range(both)]
    alone = [np.where(label == 1, 0, label) for label in maps]
    assert (learn_line([*maps, *alone], axis=1, lower=2, upper=1) is not None) is learns


def test_shapes_that_are_all_alike_tell_their_one_place() -> None:
    label, place = bent(np.random.default_rng(3))
    learned = learn_line([label] * 12, axis=1, lower=2, upper=1)
    centre, measures = centre_line(label > 0, 1)
    assert learned and learned.squared_error < 1e-12
    assert centre + learned.start + np.dot(learned.weights, measures) == pytest.approx(place, abs=1e-3)


def test_a_label_map_s_plane_is_where_the_fewest_voxels_lie_beyond() -> None:
    label, place = bent(np.random.default_rng(4))
    assert place_in(label, 1, 2, 1) == place
    label[9, place + 1, 4] = 2
    assert place_in(label, 1, 2, 1) == place
    assert place_in(label, 1, 2, 3) is None and place_in(label * 0, 1, 2, 1) is None
