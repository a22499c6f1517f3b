"""Axis-aligned resampling, against two resamplers of other people and against brute force."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from segline.imaging.geometry import Shape
from segline.imaging.resampling import block_means, resample_linear, resample_nearest, resampled_shape

Spacing = tuple[float, float, float]

TOLERANCE = 1e-5
"""On values of unit variance."""

CHANGES = {
    "up": ((20, 21, 23), (2.0, 1.5, 3.0), (1.0, 1.0, 1.0)),
    "down": ((40, 41, 42), (0.7, 0.8, 0.9), (1.7, 2.3, 3.1)),
    "thick slices to thinner": ((50, 48, 13), (0.79, 0.79, 5.0), (1.5, 1.5, 2.1)),
    "one axis only": ((30, 12, 11), (1.0, 1.0, 1.0), (1.3, 1.0, 1.0)),
    "to half": ((11, 13, 15), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)),
    "a tenth, which no float holds": ((31, 11, 12), (0.3, 0.1, 0.7), (0.1, 0.1, 2.1)),
}


@pytest.fixture(params=CHANGES.values(), ids=CHANGES.keys())
def change(request: pytest.FixtureRequest) -> tuple[Shape, Spacing, Spacing]:
    return request.param


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def steps_between(have: Spacing, want: Spacing) -> Spacing:
    x, y, z = (b / a for a, b in zip(have, want, strict=True))
    return x, y, z


def brute_force_nearest(array: np.ndarray, shape: Shape, steps: Spacing) -> np.ndarray:
    result = np.empty(shape, array.dtype)
    for voxel in itertools.product(*map(range, shape)):
        source = [
            min(int(k * step + 0.5 + 1e-9), size - 1)
            for k, step, size in zip(voxel, steps, array.shape, strict=True)
        ]
        result[voxel] = array[tuple(source)]
    return result


class TestShape:
    def test_the_last_voxel_lies_within_half_a_voxel_of_the_source_s_last(self, change):
        shape, have, want = change
        for count, size, a, b in zip(resampled_shape(shape, have, want), shape, have, want, strict=True):
            assert abs((count - 1) * b - (size - 1) * a) <= b / 2 + 1e-9

    def test_an_extent_of_half_a_voxel_is_rounded_up_for_odd_and_even_alike(self):
        assert resampled_shape((12, 14, 16), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)) == (7, 8, 9)

    def test_a_single_slice_stays_one(self):
        assert resampled_shape((4, 4, 1), (1.0, 1.0, 5.0), (1.0, 1.0, 1.0)) == (4, 4, 1)


class TestLinear:
    def test_grid_and_values_are_those_of_monai_spacing(self, change):
        from monai.data import MetaTensor
        from monai.transforms import Spacing as MonaiSpacing

        shape, have, want = change
        affine = np.diag([*have, 1.0])
        affine[:3, 3] = (-120.5, 33.0, 7.0)
        image = noise((2, *shape))
        to_spacing = MonaiSpacing(want, mode="bilinear", padding_mode="border", align_corners=True)
        expected = to_spacing(MetaTensor(torch.from_numpy(image), affine=affine))
        ours = resample_linear(image, resampled_shape(shape, have, want), steps_between(have, want))
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours, expected.as_tensor(), atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(expected.affine[:3, 3], affine[:3, 3])
        np.testing.assert_allclose(np.diag(expected.affine)[:3], want)

    def test_values_are_those_of_scipy_s_order_one(self, change):
        shape, have, want = change
        steps, target = steps_between(have, want), resampled_shape(shape, have, want)
        image = noise(shape)
        positions = np.meshgrid(
            *[np.arange(n) * step for n, step in zip(target, steps, strict=True)], indexing="ij"
        )
        expected = ndimage.map_coordinates(image.astype(np.float64), positions, order=1, mode="nearest")
        np.testing.assert_allclose(resample_linear(image, target, steps), expected, atol=TOLERANCE, rtol=0)

    def test_a_step_of_one_copies_exactly(self):
        image = noise((5, 6, 7))
        same = resample_linear(image, (5, 6, 7), (1.0, 1.0, 1.0))
        assert np.array_equal(same, image)
        assert not np.shares_memory(same, image)

    def test_whole_steps_take_voxels_exactly(self):
        image = noise((9, 9, 9))
        assert np.array_equal(resample_linear(image, (5, 3, 9), (2.0, 4.0, 1.0)), image[::2, ::4])

    def test_a_ramp_stays_a_ramp(self):
        ramp = np.broadcast_to(np.arange(11.0)[:, None, None], (11, 2, 2))
        finer = resample_linear(ramp, (31, 2, 2), (1 / 3, 1.0, 1.0))
        np.testing.assert_allclose(finer[:, 0, 0], np.arange(31) / 3)

    def test_beyond_the_last_voxel_its_value_goes_on(self):
        image = noise((3, 3, 3))
        assert np.array_equal(resample_linear(image, (6, 3, 3), (1.0, 1.0, 1.0))[3:], image[[2, 2, 2]])

    def test_leading_axes_are_left_alone(self):
        image = noise((2, 3, 8, 9, 10))
        together = resample_linear(image, (5, 12, 7), (1.7, 0.7, 1.5))
        assert together.shape == (2, 3, 5, 12, 7)
        assert np.array_equal(together[1, 2], resample_linear(image[1, 2], (5, 12, 7), (1.7, 0.7, 1.5)))

    def test_a_start_gives_that_part_of_the_whole(self):
        image, steps = noise((8, 9, 10)), (0.45, 1.3, 0.7)
        whole = resample_linear(image, (17, 7, 14), steps)
        start = (10 * 0.45, 4 * 1.3, 5 * 0.7)
        part = resample_linear(image, (6, 3, 9), steps, start)
        np.testing.assert_allclose(part, whole[10:16, 4:7, 5:14], atol=TOLERANCE, rtol=0)

    @pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2)])
    def test_a_tensor_becomes_a_tensor_with_the_same_values(self, change, axes):
        shape, have, want = change
        steps, target = steps_between(have, want), resampled_shape(shape, have, want)
        image = noise((2, *shape)).transpose(np.argsort(axes)).copy().transpose(axes)
        ours = resample_linear(torch.from_numpy(image), target, steps)
        assert isinstance(ours, torch.Tensor)
        np.testing.assert_allclose(ours, resample_linear(image, target, steps), atol=TOLERANCE, rtol=0)


class TestNearest:
    def test_it_is_what_brute_force_finds(self, change):
        shape, have, want = change
        labels = np.random.default_rng(1).integers(0, 5, shape).astype(np.uint8)
        target, steps = resampled_shape(shape, have, want), steps_between(have, want)
        ours = resample_nearest(labels, target, steps)
        np.testing.assert_array_equal(ours, brute_force_nearest(labels, target, steps))

    def test_a_step_of_one_copies_exactly(self):
        labels = np.random.default_rng(0).integers(0, 5, (5, 6, 7), np.uint8)
        assert np.array_equal(resample_nearest(labels, (5, 6, 7), (1.0, 1.0, 1.0)), labels)

    @pytest.mark.parametrize("step", [1.5, 0.3 / 0.2])
    def test_halves_go_up_even_where_the_step_is_rounded_below_a_half(self, step):
        row = np.arange(8, dtype=np.uint8)[:, None, None]
        taken = resample_nearest(row, (5, 1, 1), (step, 1.0, 1.0))
        assert taken.ravel().tolist() == [0, 2, 3, 5, 6]

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
    def test_the_type_stays(self, dtype):
        labels = np.ones((4, 4, 4), dtype)
        assert resample_nearest(labels, (2, 2, 2), (2.0, 2.0, 2.0)).dtype == dtype


@pytest.mark.parametrize("shape", [(32, 16, 48), (33, 21, 17), (5, 7, 1)])
@pytest.mark.parametrize("blocks", [(16, 16, 16), (6, 6, 8), (16, 16, 1)])
def test_block_means_are_those_of_torch(shape, blocks):
    image = noise((2, *shape))
    theirs = torch.nn.functional.adaptive_avg_pool3d(torch.from_numpy(image), blocks)
    np.testing.assert_allclose(block_means(image, blocks), theirs, atol=TOLERANCE, rtol=0)
