import numpy as np

from segline.evaluation.confusion import Confusion

LABELS = {0: "background", 3: "front", 200: "back"}


def test_every_voxel_is_counted_once_by_truth_and_prediction() -> None:
    values = np.array([0, 3, 200], np.uint8)
    generator = np.random.default_rng(0)
    truth, found = values[generator.integers(3, size=(2, 7, 8, 9))]
    counted = Confusion.of(truth, found, LABELS).voxels
    assert counted == tuple(
        tuple(int(((truth == wanted) & (found == given)).sum()) for given in values) for wanted in values
    )


def test_voxels_that_nobody_marked_are_background_twice() -> None:
    empty = np.zeros((4, 5, 6), np.uint8)
    assert Confusion.of(empty, empty, LABELS).voxels == ((120, 0, 0), (0, 0, 0), (0, 0, 0))


def test_labels_are_in_the_order_of_their_values() -> None:
    empty = np.zeros((1, 1, 1), np.uint8)
    shuffled = {200: "back", 0: "background", 3: "front"}
    assert Confusion.of(empty, empty, shuffled).labels == ("background", "front", "back")


def test_cases_add_up() -> None:
    one = Confusion(labels=("a", "b"), voxels=((1, 2), (3, 4)))
    assert Confusion.total([one, one, one]).voxels == ((3, 6), (9, 12))


def test_shares_are_of_the_true_label_and_undefined_where_it_is_absent() -> None:
    assert Confusion(labels=("a", "b"), voxels=((3, 1), (0, 0))).shares == ((0.75, 0.25), (None, None))


def test_dice_over_all_voxels_counts_large_cases_for_more() -> None:
    confusion = Confusion(labels=("background", "a", "b"), voxels=((80, 2, 0), (3, 15, 0), (0, 0, 0)))
    assert confusion.dice == {"a": 2 * 15 / (17 + 18), "b": None}
