"""Random changes of training patches."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor

from segline.imaging.geometry import Shape
from segline.plan import Augmentation
from segline.training.batches.augmentation import (
    Augmenter,
    apply_affine,
    change_gamma,
    gaussian_blur,
    multiply_by_field,
    rotation_matrix,
)

NOTHING = Augmentation(flip=0, affine=0, noise=0, blur=0, intensity=0, gamma=0)
EVERYTHING = Augmentation(flip=0.5, affine=1, noise=1, blur=1, intensity=1, gamma=1)
SPATIAL = NOTHING.model_copy(update={"flip": 0.5, "affine": 1.0})

PATCHES: list[Shape] = [(32, 32, 32), (40, 24, 16)]


def noise(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def blob(shape: Shape) -> Tensor:
    """A lopsided body ``shape`` uint8 of classes 1 and 3, well inside the patch."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij")
    body = (x / 0.6) ** 2 + (y / 0.45) ** 2 + (z / 0.55) ** 2 < 1
    return torch.from_numpy(np.where(body, np.where(x > 0.2, 3, 1), 0).astype(np.uint8))


def dice(a: Tensor, b: Tensor) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def applied(
    settings: Augmentation, image: Tensor, label: Tensor, seed: int = 0, step: int = 0
) -> tuple[Tensor, Tensor]:
    return Augmenter(settings, seed)(image.clone(), label.clone(), step)


@pytest.fixture(params=PATCHES, ids=str)
def shape(request: pytest.FixtureRequest) -> Shape:
    return request.param


class TestChance:
    def test_seed_and_step_decide_everything(self, shape):
        image, label = noise((2, 2, *shape)), blob(shape).expand(2, *shape)
        first, second = (applied(EVERYTHING, image, label, seed=3, step=11) for _ in range(2))
        assert first[0].equal(second[0])
        assert first[1].equal(second[1])

    @pytest.mark.parametrize(("seed", "step"), [(3, 12), (4, 11)])
    def test_another_seed_or_step_changes_otherwise(self, shape, seed, step):
        image, label = noise((2, 1, *shape)), blob(shape).expand(2, *shape)
        first = applied(EVERYTHING, image, label, seed=3, step=11)
        assert not first[0].equal(applied(EVERYTHING, image, label, seed=seed, step=step)[0])

    def test_patches_of_a_batch_and_channels_of_a_patch_change_each_their_own_way(self):
        image, label = noise((1, 1, 16, 16, 16)).expand(2, 2, -1, -1, -1), torch.zeros((2, 16, 16, 16)).byte()
        shaded = NOTHING.model_copy(update={"intensity": 1.0})
        changed, _ = applied(shaded, image, label)
        assert len({float(channel.mean()) for patch in changed for channel in patch}) == 4

    def test_a_part_of_a_batch_changes_as_it_does_in_the_whole(self, shape):
        image, label = noise((4, 1, *shape)), blob(shape).repeat(4, 1, 1, 1)
        whole = applied(EVERYTHING, image, label, step=5)
        part = Augmenter(EVERYTHING, 0)(image[2:].clone(), label[2:].clone(), 5, first=2)
        assert part[0].equal(whole[0][2:])
        assert part[1].equal(whole[1][2:])

    def test_with_every_chance_at_zero_nothing_changes(self, shape):
        image, label = noise((2, 2, *shape)), blob(shape).expand(2, *shape)
        for step in range(5):
            changed, moved = applied(NOTHING, image, label, step=step)
            assert changed.equal(image)
            assert moved.equal(label)

    def test_the_batch_is_changed_in_place(self, shape):
        image, label = noise((2, 1, *shape)), blob(shape).repeat(2, 1, 1, 1)
        changed, moved = Augmenter(EVERYTHING, 0)(image, label, 0)
        assert (changed.data_ptr(), moved.data_ptr()) == (image.data_ptr(), label.data_ptr())

    def test_a_chance_is_how_often_it_happens(self):
        image, label = noise((400, 1, 4, 4, 4)), torch.zeros((400, 4, 4, 4), dtype=torch.uint8)
        changed, _ = applied(NOTHING.model_copy(update={"noise": 0.25}), image, label)
        share = (changed != image).flatten(1).any(dim=1).float().mean()
        assert float(share) == pytest.approx(0.25, abs=0.07)


class TestSpace:
    def test_image_and_label_move_together(self, shape):
        label = blob(shape)[None]
        image = (label > 0).float()[:, None]
        for step in range(10):
            changed, moved = applied(SPATIAL, image, label, step=step)
            assert not moved.equal(label)
            assert dice(changed[0, 0] > 0.5, moved[0] > 0) > 0.95

    def test_labels_keep_their_values_and_type(self, shape):
        for step in range(10):
            _, moved = applied(SPATIAL, noise((1, 1, *shape)), blob(shape)[None], step=step)
            assert moved.dtype == torch.uint8
            assert moved.unique().tolist() == [0, 1, 3]

    def test_flips_permute_voxels_exactly(self):
        image, label = noise((1, 2, 4, 5, 6)), torch.arange(120, dtype=torch.uint8).view(1, 4, 5, 6)
        flips = NOTHING.model_copy(update={"flip": 1.0})
        changed, moved = applied(flips, image, label)
        assert changed.equal(image.flip([2, 3, 4]))
        assert moved.equal(label.flip([1, 2, 3]))

    def test_no_rotation_and_no_zoom_is_no_change(self, shape):
        image, label = noise((2, *shape)), blob(shape)
        changed, moved = apply_affine(image, label, np.eye(3))
        torch.testing.assert_close(changed, image, atol=1e-4, rtol=0)
        assert moved.equal(label)

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_a_quarter_turn_of_a_cube_permutes_voxels_exactly(self, axis):
        image, label = noise((2, 8, 8, 8)), torch.randint(0, 5, (8, 8, 8), dtype=torch.uint8)
        angles = np.zeros(3)
        angles[axis] = np.pi / 2
        changed, moved = apply_affine(image, label, rotation_matrix(angles))
        plane = [(axis + 1) % 3, (axis + 2) % 3]
        turned = torch.rot90(label, -1, plane)
        assert moved.equal(turned)
        expected = torch.rot90(image, -1, [1 + dim for dim in plane])
        torch.testing.assert_close(changed, expected, atol=1e-4, rtol=0)

    def test_any_affine_is_scipy_s_about_the_middle_of_the_patch(self, shape):
        matrix = rotation_matrix(np.radians([12.0, -7.0, 18.0])) / 1.15
        image = torch.from_numpy(ndimage.gaussian_filter(noise(shape).numpy(), 1.5))
        changed, _ = apply_affine(image[None], blob(shape), matrix)
        middle = (np.array(shape) - 1) / 2
        expected = ndimage.affine_transform(
            image.numpy(), matrix, middle - matrix @ middle, order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(changed[0], expected, atol=1e-4)

    def test_a_zoom_above_one_enlarges(self):
        label = blob((32, 32, 32))
        _, moved = apply_affine(noise((1, 32, 32, 32)), label, np.eye(3) / 1.2)
        assert int((moved > 0).sum()) == pytest.approx(1.2**3 * int((label > 0).sum()), rel=0.05)

    def test_beyond_the_patch_is_zero(self):
        ones = torch.ones((1, 16, 16, 16))
        changed, moved = apply_affine(ones, ones[0].byte(), np.eye(3) * 2)
        assert not changed[0, 0].any()
        assert not moved[0].any()

    def test_a_rotation_keeps_lengths_in_mm_where_voxels_are_no_cubes(self):
        """A ball in mm stays that ball; in voxels of 1x1x3 mm it is a flat disc."""
        spacing, shape = (1.0, 1.0, 3.0), (48, 48, 16)
        offsets = np.meshgrid(
            *[(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing, strict=True)], indexing="ij"
        )
        ball = torch.from_numpy((sum(offset**2 for offset in offsets) < 15**2).astype(np.uint8))
        turns = NOTHING.model_copy(update={"affine": 1.0, "rotation_degrees": 45.0, "scale": 0.0})
        for step in range(5):
            _, moved = Augmenter(turns, 0, spacing)(ball.float()[None, None], ball[None].clone(), step)
            assert dice(moved[0] > 0, ball > 0) > 0.95


class TestRotation:
    @pytest.mark.parametrize("degrees", [(30, 0, 0), (0, 30, 0), (0, 0, 30), (20, -50, 110)], ids=str)
    def test_it_turns_about_x_then_y_then_z(self, degrees):
        angles = np.radians(np.array(degrees, dtype=float))
        expected = Rotation.from_euler("xyz", angles).as_matrix()
        np.testing.assert_allclose(rotation_matrix(angles), expected, atol=1e-12)


class TestBlur:
    @pytest.mark.parametrize("sigma", [0.3, 0.7, 1.0, 1.6])
    def test_it_is_scipy_s_gaussian_filter_cut_off_at_two_sigma(self, shape, sigma):
        image = noise(shape)
        radius = max(1, int(np.ceil(2 * sigma)))
        expected = ndimage.gaussian_filter(image.numpy(), sigma, mode="nearest", radius=radius)
        np.testing.assert_allclose(gaussian_blur(image, sigma), expected, atol=1e-5)

    def test_a_sigma_of_zero_changes_nothing(self):
        assert gaussian_blur(noise((6, 7, 8)), 0.0).equal(noise((6, 7, 8)))

    def test_a_constant_stays(self):
        torch.testing.assert_close(gaussian_blur(torch.full((6, 7, 8), 3.5), 1.0), torch.full((6, 7, 8), 3.5))


class TestGamma:
    @pytest.mark.parametrize("exponent", [0.7, 1.0, 1.4])
    def test_the_range_stays(self, exponent):
        image = noise((8, 8, 8)) * 3 + 2
        changed = image.clone()
        change_gamma(changed, exponent)
        torch.testing.assert_close(torch.stack(changed.aminmax()), torch.stack(image.aminmax()))

    def test_the_order_of_intensities_stays(self):
        ramp = torch.linspace(-2, 5, 50).view(50, 1, 1)
        changed = ramp.clone()
        change_gamma(changed, 1.4)
        assert (changed.diff(dim=0) > 0).all()
        assert (changed[1:-1] < ramp[1:-1]).all()

    def test_a_constant_stays(self):
        flat = torch.full((3, 3, 3), 0.25)
        change_gamma(flat, 1.3)
        assert flat.unique().tolist() == [0.25]


class TestIntensity:
    def only(self, **settings: float) -> Augmentation:
        return NOTHING.model_copy(update=settings)

    @pytest.mark.parametrize("chance", ["noise", "blur", "intensity", "gamma"])
    def test_the_label_stays(self, chance, shape):
        image, label = noise((4, 1, *shape)), blob(shape).expand(4, *shape)
        changed, moved = applied(self.only(**{chance: 1.0}), image, label)
        assert not changed.equal(image)
        assert moved.equal(label)

    def test_noise_is_no_stronger_than_its_share_of_the_patch_s_deviation(self):
        image, label = 50 * noise((20, 1, 12, 12, 12)), torch.zeros((20, 12, 12, 12), dtype=torch.uint8)
        changed, _ = applied(self.only(noise=1.0, noise_sd=0.1), image, label)
        strength = (changed - image).flatten(1).std(dim=1)
        assert 0 < strength.min() < strength.max() < 50 * 0.1 * 1.1

    def test_contrast_and_brightness_stay_in_their_ranges(self):
        image, label = noise((50, 1, 8, 8, 8)), torch.zeros((50, 8, 8, 8), dtype=torch.uint8)
        wanted = self.only(intensity=1.0, intensity_scale=0.25, intensity_shift=0.1)
        changed, _ = applied(wanted, image, label)
        gain = changed.flatten(1).std(dim=1) / image.flatten(1).std(dim=1)
        assert 0.75 <= gain.min() < 0.85
        assert 1.15 < gain.max() <= 1.25
        shift = changed.flatten(1).mean(dim=1) - gain * image.flatten(1).mean(dim=1)
        assert float(shift.abs().max()) <= 0.1 * 1.1

    def test_values_stay_finite_on_a_constant_patch(self):
        flat = torch.zeros((4, 1, 8, 8, 8))
        changed, _ = applied(EVERYTHING, flat, torch.zeros((4, 8, 8, 8), dtype=torch.uint8))
        assert changed.isfinite().all()


def test_a_bias_field_is_smooth_and_leaves_the_lowest_value() -> None:
    channel = torch.full((24, 20, 16), 3.0)
    channel[0, 0, 0] = -1.0
    multiply_by_field(channel, np.random.default_rng(0).uniform(-0.5, 0.5, 19))
    field = (channel + 1) / 4
    assert channel[0, 0, 0] == -1 and field.max() > 1.2 and field.min() == 0
    inside = field[2:, 2:, 2:]
    assert all(inside.diff(dim=axis).abs().max() < 0.5 for axis in range(3))
    torch.testing.assert_close(field[12, 10, 8], torch.tensor(1.0), atol=0.1, rtol=0)
