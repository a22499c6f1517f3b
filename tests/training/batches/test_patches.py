"""Which patches a training step sees."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from segline.common.errors import SeglineError
from segline.data.cases.case import Case
from segline.imaging.geometry import Shape
from segline.imaging.placement import Placement
from segline.imaging.preprocessing import IGNORED
from segline.plan.preprocessing.normalisation import OUTSIDE
from segline.plan.training.samplers import (
    LabelledSampler,
    LabelSampler,
    Sampler,
    UniformSampler,
    WeightedSampler,
)
from segline.training.batches.patches import PatchSampler, cut, labelled_share, patch_sampler, patch_start

from ...conftest import small_plan

SHAPE: Shape = (24, 20, 16)
PATCH: Shape = (8, 8, 8)


def case_of(folder: Path, number: int, label: np.ndarray) -> Case:
    """A cached case on disk whose channels say which case, x, y and z a voxel is of, from 1; 0 is nowhere."""
    folder = folder / str(number)
    folder.mkdir(parents=True)
    image = np.stack([np.full(label.shape, number), *np.indices(label.shape)]).astype(np.float16) + 1
    rows = [np.column_stack([np.full(len(v), k), v]) for k in (1, 2) if len(v := np.argwhere(label == k))]
    np.save(folder / "image.npy", image)
    np.save(folder / "label.npy", label)
    np.save(folder / "locations.npy", np.concatenate([np.zeros((0, 4), int), *rows]).astype(np.int32))
    eye = tuple(tuple(map(float, row)) for row in np.eye(4))
    placement = Placement(
        native_shape=label.shape,
        native_affine=eye,  # type: ignore[arg-type]
        axes=(0, 1, 2),
        flips=(False, False, False),
        crop_start=(0, 0, 0),
        crop_stop=label.shape,
        shape=label.shape,
        steps=(1.0, 1.0, 1.0),
    )
    (folder / "placement.json").write_text(placement.model_dump_json())
    return Case.open(f"case_{number}", folder)


def two_organs() -> np.ndarray:
    """A voxel of class 1 and many of class 2, far apart; patches around one do not reach the other."""
    label = np.zeros(SHAPE, np.uint8)
    label[4, 4, 4] = 1
    label[16:22, 12:18, 9:14] = 2
    return label


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    return [case_of(tmp_path, number, two_organs()) for number in range(5)]


def sampler(cases: list[Case], **changes: object) -> PatchSampler:
    settings = {"patch_size": PATCH, "batch_size": 2, "centres": LabelSampler(), "seed": 0, **changes}
    return PatchSampler(cases, **settings)  # type: ignore[arg-type]


def seen(sampler: PatchSampler, step: int) -> list[int]:
    """Numbers of the cases a batch is cut from."""
    return [int(number) - 1 for number in sampler.batch(step)[0][:, 0].amax(dim=(1, 2, 3))]


class TestBatch:
    def test_it_is_images_as_float_and_classes_as_bytes(self, cases):
        image, label = sampler(cases).batch(0)
        assert (tuple(image.shape), str(image.dtype)) == ((2, 4, *PATCH), "torch.float32")
        assert (tuple(label.shape), str(label.dtype)) == ((2, *PATCH), "torch.uint8")

    def test_it_depends_on_seed_and_step_alone(self, cases):
        image, label = sampler(cases).batch(7)
        other = sampler(cases)
        for step in (3, 9, 7):
            again, label_again = other.batch(step)
        assert image.equal(again)
        assert label.equal(label_again)

    @pytest.mark.parametrize(("seed", "step"), [(0, 8), (1, 7)])
    def test_another_seed_or_step_gives_other_patches(self, cases, seed, step):
        assert not sampler(cases).batch(7)[0].equal(sampler(cases, seed=seed).batch(step)[0])

    def test_image_and_label_are_cut_from_the_same_place(self, cases):
        image, label = sampler(cases).batch(0)
        for patch, classes in zip(image, label, strict=True):
            number, x, y, z = (int(value) - 1 for value in patch[:, 0, 0, 0])
            box = (slice(x, x + 8), slice(y, y + 8), slice(z, z + 8))
            np.testing.assert_array_equal(cases[number].image[:, *box], patch)
            np.testing.assert_array_equal(cases[number].label[box], classes)


class TestParts:
    @pytest.mark.parametrize("parts", [1, 2, 4])
    def test_the_parts_of_a_batch_are_the_batch(self, cases, parts):
        whole = sampler(cases, batch_size=4).batch(3)
        cut_up = [sampler(cases, batch_size=4, part=(number, parts)) for number in range(parts)]
        assert [part.first for part in cut_up] == [number * 4 // parts for number in range(parts)]
        batches = [part.batch(3) for part in cut_up]
        for index in range(2):
            assert torch.cat([batch[index] for batch in batches]).equal(whole[index])


class TestEpoch:
    @pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
    def test_every_case_is_seen_once_before_any_is_seen_again(self, cases, batch_size):
        drawn = sampler(cases, batch_size=batch_size)
        numbers = [number for step in range(20) for number in seen(drawn, step)]
        for first in range(0, len(numbers) - 4, 5):
            assert sorted(numbers[first : first + 5]) == [0, 1, 2, 3, 4]

    def test_the_order_changes_from_epoch_to_epoch(self, cases):
        drawn = sampler(cases, batch_size=5)
        assert len({tuple(seen(drawn, step)) for step in range(6)}) > 3

    @pytest.mark.parametrize(("batch_size", "steps"), [(1, 5), (2, 3), (5, 1), (8, 1)])
    def test_its_steps_are_as_many_as_see_every_case(self, cases, batch_size, steps):
        assert sampler(cases, batch_size=batch_size).steps_per_epoch == steps


class TestSamplesPerVolume:
    def test_so_many_draws_come_from_one_case_in_turn(self, cases):
        drawn = sampler(cases, batch_size=2, samples_per_volume=3)
        numbers = [number for step in range(15) for number in seen(drawn, step)]
        assert all(len({*numbers[first : first + 3]}) == 1 for first in range(0, 30, 3))
        assert sorted(numbers[:15:3]) == sorted(numbers[15::3]) == [0, 1, 2, 3, 4]
        assert numbers[2:4] == list(drawn.cases_of(1))

    def test_they_are_patches_of_different_places(self, cases):
        image, _ = sampler(cases, batch_size=4, samples_per_volume=4, centres=UniformSampler()).batch(0)
        assert len(image[:, :, 0, 0, 0].unique(dim=0)) == 4

    def test_an_epoch_sees_each_case_as_often(self, cases):
        assert sampler(cases, batch_size=4, samples_per_volume=3).steps_per_epoch == 4

    def test_the_parts_of_a_batch_are_the_batch(self, cases):
        whole, _ = sampler(cases, batch_size=4, samples_per_volume=3).batch(3)
        halves = [sampler(cases, batch_size=4, samples_per_volume=3, part=(n, 2)) for n in range(2)]
        assert torch.cat([half.batch(3)[0] for half in halves]).equal(whole)

    def test_a_plan_asks_for_them_and_for_a_padding(self, cases):
        plan = small_plan(training={"samples_per_volume": 4, "padding": "edge"})
        drawn = patch_sampler(plan, cases)
        assert (drawn.samples_per_volume, drawn.padding) == (4, "edge")


class TestLabelled:
    def shares(self, cases: list[Case], **settings: object) -> list[float]:
        """How much of each of 300 patches is labelled."""
        drawn = sampler(cases, batch_size=300, centres=LabelledSampler(**settings))  # type: ignore[arg-type]
        return [labelled_share(label.numpy()) for label in drawn.batch(0)[1]]

    def test_of_every_patch_so_much_is_labelled(self, cases):
        assert min(self.shares(cases, least_share=0.05, draws=200)) >= 0.05

    def test_the_best_is_taken_where_no_draw_has_so_much(self, cases):
        few, many = (np.array(self.shares(cases, least_share=1, draws=draws)) for draws in (2, 20))
        assert many.mean() > 1.5 * few.mean() and many.max() < 1

    def test_one_draw_is_anywhere(self, cases):
        anywhere, _ = sampler(cases, centres=UniformSampler()).batch(4)
        assert sampler(cases, centres=LabelledSampler(draws=1)).batch(4)[0].equal(anywhere)

    def test_a_case_without_labels_is_sampled_anywhere(self, tmp_path):
        empty = case_of(tmp_path, 0, np.zeros(SHAPE, np.uint8))
        image, _ = sampler([empty], batch_size=50, centres=LabelledSampler()).batch(0)
        assert len(image[:, :, 0, 0, 0].unique(dim=0)) > 20

    def test_it_depends_on_seed_and_step_alone(self, cases):
        image, _ = sampler(cases, centres=LabelledSampler()).batch(7)
        other = sampler(cases, centres=LabelledSampler())
        other.batch(2)
        assert other.batch(7)[0].equal(image)

    def test_what_is_unknown_is_no_label(self):
        assert labelled_share(np.array([[[0, IGNORED], [1, 0]]])) == 0.25


class TestForeground:
    def centred_on(self, cases: list[Case], centres: Sampler, patches: int = 2000) -> Counter[int]:
        """How often the middle voxel of a one-voxel patch has each class."""
        drawn = sampler(cases, patch_size=(1, 1, 1), batch_size=patches, centres=centres)
        return Counter(drawn.batch(0)[1].flatten().tolist())

    @pytest.mark.parametrize("ratio", [1.0, 3.0])
    def test_patches_on_labels_to_patches_anywhere_are_the_ratio(self, cases, ratio):
        counts, share = self.centred_on(cases, LabelSampler(ratio=ratio)), ratio / (ratio + 1)
        by_chance = (1 - share) * np.count_nonzero(two_organs()) / two_organs().size
        assert (counts[1] + counts[2]) / 2000 == pytest.approx(share + by_chance, abs=0.04)

    def test_each_class_is_centred_on_as_often_however_small_it_is(self, cases):
        counts = self.centred_on(cases, LabelSampler())
        assert counts[1] / 2000 == pytest.approx(0.375, abs=0.04)

    @pytest.mark.parametrize("centres", [LabelSampler(ratio=0), UniformSampler()])
    def test_a_ratio_of_zero_is_anywhere_as_is_uniform(self, cases, centres):
        counts = self.centred_on(cases, centres)
        assert counts[0] / 2000 == pytest.approx(np.mean(two_organs() == 0), abs=0.03)

    @pytest.mark.parametrize(
        ("weights", "share"), [({0: 0.2, 1: 0.8}, 0.8), ({1: 1, 2: 3}, 0.25), ({2: 1}, 0)]
    )
    def test_each_label_comes_as_often_as_its_weight_says(self, cases, weights, share):
        counts = self.centred_on(cases, WeightedSampler(weights=weights))
        assert counts[1] / 2000 == pytest.approx(share, abs=0.03)

    def test_of_labels_that_a_case_lacks_the_weight_is_the_others(self, tmp_path):
        label = np.where(two_organs() == 2, 2, 0).astype(np.uint8)
        counts = self.centred_on([case_of(tmp_path, 0, label)], WeightedSampler(weights={1: 9, 2: 1}))
        assert counts[2] == 2000
        anywhere = self.centred_on([case_of(tmp_path, 1, label)], WeightedSampler(weights={1: 1}))
        assert anywhere[0] > 1500

    def test_weights_are_by_the_values_in_the_files(self, cases):
        drawn = sampler(cases, patch_size=(1, 1, 1), batch_size=500, values=(10, 150))
        centred = dataclasses.replace(drawn, centres=WeightedSampler(weights={150: 1}))
        assert Counter(centred.batch(0)[1].flatten().tolist()) == {2: 500}

    def test_a_case_without_labels_is_sampled_anywhere(self, tmp_path):
        empty = case_of(tmp_path, 0, np.zeros(SHAPE, np.uint8))
        image, label = sampler([empty], batch_size=50).batch(0)
        assert not label.any()
        assert len(image[:, :, 0, 0, 0].unique(dim=0)) > 20

    def test_a_case_without_the_first_class_is_centred_on_the_second(self, tmp_path):
        label = np.where(two_organs() == 1, 0, two_organs())
        drawn = sampler([case_of(tmp_path, 0, label)], patch_size=(1, 1, 1), batch_size=400)
        assert float((drawn.batch(0)[1] == 2).float().mean()) > 0.65


class TestSmallVolumes:
    """A volume smaller than the patch, along some axis or all."""

    def test_it_lies_whole_in_the_patch_with_outside_around_it(self, tmp_path):
        small = case_of(tmp_path, 0, np.ones((5, 20, 3), np.uint8))
        image, label = sampler([small], batch_size=8).batch(0)
        for patch, classes in zip(image[:, 0], label, strict=True):
            assert int((patch != OUTSIDE).sum()) == int(classes.sum()) == 5 * 8 * 3
            assert ((patch != OUTSIDE) == (classes == 1)).all()

    def test_it_lies_anywhere_in_the_patch(self, tmp_path):
        small = case_of(tmp_path, 0, np.ones((5, 20, 3), np.uint8))
        _, label = sampler([small], batch_size=300).batch(0)
        firsts = {tuple(np.argwhere(classes.numpy())[0][[0, 2]]) for classes in label}
        assert firsts == {(x, z) for x in range(4) for z in range(6)}


class TestPadding:
    """What is beyond a volume that is smaller than the patch."""

    def batch(self, folder: Path, shape: Shape, padding: str) -> tuple[np.ndarray, np.ndarray, int]:
        """Where along x the voxels of a patch are from, their label there, and the first of the volume's."""
        label = np.zeros(shape, np.uint8)
        label[0] = 1
        case = case_of(folder, 0, label)
        drawn = sampler([case], padding=padding, centres=UniformSampler())
        constant, _ = dataclasses.replace(drawn, padding="constant").batch(0)
        image, classes = drawn.batch(0)
        first = int((constant[0, 0, :, 0, 0] != OUTSIDE).nonzero()[0])
        return image[0, 1, :, 0, 0].numpy() - 1, classes[0, :, 0, 0].numpy(), first

    def test_the_edge_is_repeated_in_image_and_label(self, tmp_path):
        x, label, first = self.batch(tmp_path, (3, 20, 16), "edge")
        np.testing.assert_array_equal(x, np.clip(np.arange(8) - first, 0, 2))
        np.testing.assert_array_equal(label, x == 0)

    def test_the_volume_is_mirrored_in_image_and_label_as_often_as_it_takes(self, tmp_path):
        x, label, first = self.batch(tmp_path, (3, 20, 16), "reflect")
        np.testing.assert_array_equal(x, 2 - np.abs(2 - (np.arange(8) - first) % 4))
        np.testing.assert_array_equal(label, x == 0)

    def test_one_voxel_cannot_be_mirrored(self, tmp_path):
        with pytest.raises(SeglineError, match=r"case_0: 1x20x16 voxels, .* set training\.padding to edge"):
            self.batch(tmp_path, (1, 20, 16), "reflect")
        assert not self.batch(tmp_path / "other", (1, 20, 16), "edge")[0].any()

    @pytest.mark.parametrize("padding", ["reflect", "edge"])
    def test_a_patch_within_the_volume_is_the_same(self, cases, padding):
        assert sampler(cases, padding=padding).batch(3)[0].equal(sampler(cases).batch(3)[0])


class TestPatchStart:
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(0)

    def test_the_centre_is_in_the_middle(self):
        assert patch_start(np.array([12, 10, 8]), SHAPE, PATCH, self.rng()) == (8, 6, 4)

    def test_it_is_moved_to_stay_inside(self):
        assert patch_start(np.array([1, 19, 15]), SHAPE, PATCH, self.rng()) == (0, 12, 8)

    def test_a_volume_of_the_patch_s_size_starts_at_zero(self):
        assert patch_start(np.array([3, 7, 0]), PATCH, PATCH, self.rng()) == (0, 0, 0)

    def test_every_voxel_can_be_the_centre_s_without_leaving_its_patch(self):
        for centre in np.ndindex(SHAPE):
            start = patch_start(np.array(centre), SHAPE, PATCH, self.rng())
            assert all(0 <= a <= n - 8 for a, n in zip(start, SHAPE, strict=True))
            assert all(a <= c < a + 8 for a, c in zip(start, centre, strict=True))


class TestCut:
    def test_beyond_the_array_is_outside(self):
        array = np.arange(1, 9).reshape(2, 2, 2)
        piece = cut(array, (-1, 0, -2), (4, 2, 4), -7)
        assert piece.shape == (4, 2, 4)
        np.testing.assert_array_equal(piece[1:3, :, 2:], array)
        assert (piece == -7).sum() == 4 * 2 * 4 - 8

    def test_it_is_a_copy(self):
        array = np.zeros((4, 4, 4))
        cut(array, (0, 0, 0), (2, 2, 2), 0)[:] = 1
        assert not array.any()
