"""How a volume is cut into windows."""

import itertools

import numpy as np
import pytest

from segline.imaging.geometry import Shape
from segline.inference.tiling import Tiling
from segline.plan import Inference

STRIDE = (2, 2, 4)


def settings(smallest: Shape, largest: Shape, overlap: Shape = (2, 2, 2)) -> Inference:
    return Inference(smallest_window=smallest, largest_window=largest, overlap=overlap)


CASES = list(
    itertools.product(
        [(8, 8, 8), (9, 16, 23), (40, 33, 17), (100, 8, 65), (1, 200, 1)],
        [settings((8, 8, 8), (8, 8, 8)), settings((8, 4, 8), (24, 16, 40)), settings((8, 8, 8), (8, 8, 80))],
    )
)


@pytest.fixture(params=CASES, ids=str)
def cut(request: pytest.FixtureRequest) -> tuple[Shape, Inference, Tiling]:
    shape, inference = request.param
    return shape, inference, Tiling.of(shape, inference, STRIDE)


def test_windows_cover_every_voxel(cut: tuple[Shape, Inference, Tiling]) -> None:
    shape, _, tiling = cut
    seen = np.zeros(tiling.shape, int)
    for box in tiling.boxes:
        assert seen[box].shape == tiling.window
        seen[box] += 1
    assert seen.min() >= 1
    assert all(padded >= size for padded, size in zip(tiling.shape, shape, strict=True))


def test_windows_are_multiples_of_the_stride_between_smallest_and_largest(
    cut: tuple[Shape, Inference, Tiling],
) -> None:
    _, inference, tiling = cut
    edges = zip(inference.smallest_window, tiling.window, inference.largest_window, strict=True)
    assert all(small <= edge <= large for small, edge, large in edges)
    assert all(edge % multiple == 0 for edge, multiple in zip(tiling.window, STRIDE, strict=True))


def test_neighbours_overlap_by_what_was_asked(cut: tuple[Shape, Inference, Tiling]) -> None:
    _, inference, tiling = cut
    assert len(set(tiling.starts)) == len(tiling.starts)
    for axis, (length, overlap) in enumerate(zip(tiling.window, inference.overlap, strict=True)):
        steps = np.diff(sorted({start[axis] for start in tiling.starts}))
        assert (length - steps >= overlap).all()


def test_there_are_as_few_windows_as_the_largest_allows(cut: tuple[Shape, Inference, Tiling]) -> None:
    shape, inference, tiling = cut
    for axis, (size, longest, overlap) in enumerate(
        zip(shape, inference.largest_window, inference.overlap, strict=True)
    ):
        count = len({start[axis] for start in tiling.starts})
        assert count == 1 or (count - 1) * (longest - overlap) + overlap < size


def test_a_volume_is_padded_only_where_one_window_is_longer(cut: tuple[Shape, Inference, Tiling]) -> None:
    shape, _, tiling = cut
    for size, padded, window in zip(shape, tiling.shape, tiling.window, strict=True):
        assert padded == max(size, window)


def test_a_whole_volume_goes_in_one_window_where_that_is_allowed() -> None:
    tiling = Tiling.of((270, 263, 117), settings((96, 96, 96), (288, 288, 128)), (16, 16, 16))
    assert (tiling.window, tiling.starts) == ((272, 272, 128), ((0, 0, 0),))


def test_windows_are_no_longer_than_it_takes() -> None:
    tiling = Tiling.of((180, 96, 96), settings((96, 96, 96), (160, 96, 96), (24, 24, 24)), (16, 16, 16))
    assert tiling.window == (112, 96, 96)
    assert [start[0] for start in tiling.starts] == [0, 68]
    assert tiling.voxels == 2 * 112 * 96 * 96
