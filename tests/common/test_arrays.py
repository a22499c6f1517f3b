"""One code for the arrays of two libraries."""

import numpy as np
import pytest
import torch

from segline.common.arrays import (
    CPU,
    as_numpy,
    as_tensor,
    contiguous,
    functions_for,
    inferring,
    is_tensor,
    like,
    placed,
    softmax,
    strides_of,
)


def grid() -> np.ndarray:
    return np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("array", [grid(), torch.from_numpy(grid())], ids=["NumPy", "PyTorch"])
def test_what_is_computed_stays_in_its_library(array: np.ndarray | torch.Tensor) -> None:
    xp = functions_for(array)
    made = xp.clip(xp.max(array, axis=0), 0, 20)
    assert type(made) is type(array)
    np.testing.assert_array_equal(as_numpy(made), np.clip(grid().max(axis=0), 0, 20))
    assert type(like(grid(), array)) is type(like(torch.ones(1), array)) is type(array)
    assert is_tensor(array) == isinstance(array, torch.Tensor)


def test_on_a_cpu_an_array_is_itself_and_elsewhere_a_tensor() -> None:
    assert placed(array := grid(), CPU) is array
    assert isinstance(placed(array, "cpu:0"), torch.Tensor)


def test_types_that_torch_does_not_know_become_float32() -> None:
    assert placed(np.ones(2, np.uint16), "cpu:0").dtype == torch.float32
    assert placed(np.ones(2, np.int16), "cpu:0").dtype == torch.int16


def test_what_may_not_be_written_is_copied_for_torch() -> None:
    array = grid()
    array.flags.writeable = False
    placed(array, "cpu:0").zero_()
    assert array.any()


def test_memory_is_shared_where_it_can_be() -> None:
    array = grid()
    assert np.shares_memory(as_numpy(as_tensor(array)), array)
    assert contiguous(array) is array


def test_both_say_in_which_order_their_axes_lie() -> None:
    for array in (grid(), torch.from_numpy(grid())):
        turned = functions_for(array).permute_dims(array, (2, 0, 1))
        assert sorted(range(3), key=strides_of(turned).__getitem__) == [0, 2, 1]
        assert sorted(range(3), key=strides_of(contiguous(turned)).__getitem__) == [2, 1, 0]


@pytest.mark.parametrize("axis", [0, 2])
def test_softmax_is_that_of_torch_in_place_in_either_library(axis: int) -> None:
    wanted = (60 * torch.from_numpy(grid())).softmax(axis)
    for scores in (60 * grid(), torch.from_numpy(60 * grid())):
        assert softmax(scores, axis) is scores
        np.testing.assert_allclose(scores, wanted, atol=1e-6)


def test_neither_records_nor_warns_where_nothing_is_learned() -> None:
    weight = torch.ones(2, requires_grad=True)
    with inferring(weight):
        assert not (2 * weight).requires_grad
    with inferring(infinite := np.array([np.inf])):
        assert np.isnan(infinite - infinite).all()
