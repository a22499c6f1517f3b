"""Axis-aligned resampling, against two resamplers of other people and against brute force."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from segline.imaging.geometry import Shape
from segline.imaging.resampling import resample_linear, resample_nearest, resampled_shape

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


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


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
        expected = to_spacing(MetaTensor(image, affine=affine))
        ours = resample_linear(image, resampled_shape(shape, have, want), steps_between(have, want))
        assert ours.shape == expected.shape
        torch.testing.assert_close(ours, expected.as_tensor(), atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(expected.affine[:3, 3], affine[:3, 3])
        np.testing.assert_allclose(np.diag(expected.affine)[:3], want)

    def test_values_are_those_of_scipy_s_order_one(self, change):
        shape, have, want = change
        steps, target = steps_between(have, want), resampled_shape(shape, have, want)
        image = noise(shape)
        positions = np.meshgrid(
            *[np.arange(n) * step for n, step in zip(target, steps, strict=True)], indexing="ij"
        )
        expected = ndimage.map_coordinates(image.double().numpy(), positions, order=1, mode="nearest")
        np.testing.assert_allclose(resample_linear(image, target, steps), expected, atol=TOLERANCE)

    def test_a_step_of_one_copies_exactly(self):
        image = noise((5, 6, 7))
        same = resample_linear(image, (5, 6, 7), (1.0, 1.0, 1.0))
        assert torch.equal(same, image)
        assert same.data_ptr() != image.data_ptr()

    def test_whole_steps_take_voxels_exactly(self):
        image = noise((9, 9, 9))
        assert torch.equal(resample_linear(image, (5, 3, 9), (2.0, 4.0, 1.0)), image[::2, ::4])

    def test_a_ramp_stays_a_ramp(self):
        ramp = torch.arange(11.0).view(11, 1, 1).expand(11, 2, 2)
        finer = resample_linear(ramp, (31, 2, 2), (1 / 3, 1.0, 1.0))
        torch.testing.assert_close(finer[:, 0, 0], torch.arange(31) / 3)

    def test_beyond_the_last_voxel_its_value_goes_on(self):
        image = noise((3, 3, 3))
        assert torch.equal(resample_linear(image, (6, 3, 3), (1.0, 1.0, 1.0))[3:], image[2:].expand(3, 3, 3))

    def test_leading_axes_are_left_alone(self):
        image = noise((2, 3, 8, 9, 10))
        together = resample_linear(image, (5, 12, 7), (1.7, 0.7, 1.5))
        assert together.shape == (2, 3, 5, 12, 7)
        assert torch.equal(together[1, 2], resample_linear(image[1, 2], (5, 12, 7), (1.7, 0.7, 1.5)))

    def test_a_start_gives_that_part_of_the_whole(self):
        image, steps = noise((8, 9, 10)), (0.45, 1.3, 0.7)
        whole = resample_linear(image, (17, 7, 14), steps)
        start = (10 * 0.45, 4 * 1.3, 5 * 0.7)
        part = resample_linear(image, (6, 3, 9), steps, start)
        torch.testing.assert_close(part, whole[10:16, 4:7, 5:14], atol=TOLERANCE, rtol=0)


class TestNearest:
    def test_it_is_what_brute_force_finds(self, change):
        shape, have, want = change
        labels = np.random.default_rng(1).integers(0, 5, shape).astype(np.uint8)
        target, steps = resampled_shape(shape, have, want), steps_between(have, want)
        ours = resample_nearest(torch.from_numpy(labels), target, steps)
        np.testing.assert_array_equal(ours.numpy(), brute_force_nearest(labels, target, steps))

    def test_a_step_of_one_copies_exactly(self):
        labels = torch.randint(0, 5, (5, 6, 7), dtype=torch.uint8)
        assert torch.equal(resample_nearest(labels, (5, 6, 7), (1.0, 1.0, 1.0)), labels)

    @pytest.mark.parametrize("step", [1.5, 0.3 / 0.2])
    def test_halves_go_up_even_where_the_step_is_rounded_below_a_half(self, step):
        row = torch.arange(8, dtype=torch.uint8).view(8, 1, 1)
        taken = resample_nearest(row, (5, 1, 1), (step, 1.0, 1.0))
        assert taken.flatten().tolist() == [0, 2, 3, 5, 6]

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
    def test_the_type_stays(self, dtype):
        labels = torch.ones((4, 4, 4), dtype=dtype)
        assert resample_nearest(labels, (2, 2, 2), (2.0, 2.0, 2.0)).dtype == dtype
