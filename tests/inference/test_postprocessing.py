"""What of a mask is taken for a mistake."""

import numpy as np
import pytest
import torch
from monai.transforms import KeepLargestConnectedComponent

from segline.inference.postprocessing import keep_largest_components


def blobs(seed: int = 0, classes: int = 3) -> np.ndarray:
    """Many components of each class, of all sizes."""
    scattered = np.random.default_rng(seed).integers(0, 4 * classes, (20, 24, 16))
    return np.where(scattered < classes, scattered, 0).astype(np.uint8)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=["C", "F", "neither"])
@pytest.mark.parametrize("values", [(1,), (2,), (1, 2)])
def test_it_is_what_monai_does(values: tuple[int, ...], order: tuple[int, int, int]) -> None:
    labels = np.ascontiguousarray(blobs().transpose(order)).transpose(np.argsort(order))
    wanted = KeepLargestConnectedComponent(values, is_onehot=False)(torch.from_numpy(blobs()[None]))[0]
    keep_largest_components(labels, values)
    assert np.array_equal(labels, np.asarray(wanted))
    assert not np.array_equal(labels, blobs())


def test_what_touches_at_a_corner_is_one_component() -> None:
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = labels[2, 2, 2] = 1
    labels[5, 5, 4:] = 1
    keep_largest_components(labels, [1])
    assert np.argwhere(labels).tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]


def test_other_labels_are_left_alone_even_within() -> None:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[:4], labels[7], labels[2, 2, 2] = 1, 1, 5
    keep_largest_components(labels, [1])
    assert labels[2, 2, 2] == 5
    assert (labels[:4] > 0).all()
    assert not labels[7].any()


def test_the_background_may_have_another_value() -> None:
    labels = np.full((8, 8, 8), 3, np.uint8)
    labels[:2], labels[7, 7, 7] = 9, 9
    keep_largest_components(labels, [9], background=3)
    assert np.argwhere(labels[2:] != 3).size == 0


@pytest.mark.parametrize("values", [(), (1,), (2, 7)])
def test_labels_in_one_piece_and_labels_that_are_not_there_stay(values: tuple[int, ...]) -> None:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[1:3, 1:3, 1:3], labels[5:, 5:, 5:] = 1, 2
    before = labels.copy()
    keep_largest_components(labels, values)
    assert np.array_equal(labels, before)


def test_an_empty_mask_stays_empty() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    keep_largest_components(labels, [1])
    assert not labels.any()
