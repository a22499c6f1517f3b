"""From a file's grid to the plan's grid, and exactly back."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import special

from segline.common.errors import SeglineError
from segline.imaging.files import read_volume
from segline.imaging.geometry import Grid, Reorientation, Shape
from segline.imaging.placement import Placement
from segline.imaging.preprocessing import Preprocessor
from segline.imaging.resampling import resample_linear, resample_nearest
from segline.imaging.restoring import restore
from segline.imaging.volume import Volume
from segline.plan import IntensityWindow, Preprocessing, ZScore

Spacing = tuple[float, float, float]

ORIENTATIONS = [
    "".join(letters)
    for order in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*order)
]

RAS_SHAPE: Shape = (11, 13, 9)
RAS_SPACING: Spacing = (1.2, 0.9, 2.5)
PLAN_SPACING: Spacing = (1.0, 1.3, 2.0)

FLAGSHIP_SPACING: Spacing = (1.5, 1.5, 2.0)
LEAST_MEAN_DICE = 0.985
LEAST_DICE = 0.975


def settings(
    spacing_mm: Spacing,
    foreground_above: float | None = None,
    margin_mm: float = 0.0,
    window: tuple[float, float] = (-1000.0, 1000.0),
    channels: int = 1,
) -> Preprocessing:
    return Preprocessing(
        spacing_mm=spacing_mm,
        intensity=(IntensityWindow(window=window),) * channels,
        foreground_above=foreground_above,
        margin_mm=margin_mm,
    )


def axial_affine() -> np.ndarray:
    affine = np.diag([*RAS_SPACING, 1.0])
    affine[:3, 3] = (-7.5, 21.0, -3.25)
    return affine


def oblique_affine() -> np.ndarray:
    """Turned by 20 degrees about z and 15 about x."""
    a, b = np.radians(20), np.radians(15)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = axial_affine()
    affine[:3, :3] = about_z @ about_x @ affine[:3, :3]
    return affine


AFFINES = {"axial": axial_affine(), "oblique": oblique_affine()}


def stored_as(array: np.ndarray, affine: np.ndarray, orientation: str) -> Volume:
    """A RAS array ``(C, X, Y, Z)`` as a file with other axes has it."""
    turn = Reorientation.between("RAS", orientation)
    grid = turn.apply_to_grid(Grid(RAS_SHAPE, affine))
    return Volume(np.ascontiguousarray(turn.apply(array)), grid.affine)


def random_labels(values: tuple[int, ...], shape: Shape = RAS_SHAPE) -> np.ndarray:
    return np.random.default_rng(0).choice(values, (1, *shape)).astype(np.uint8)


def certain(classes: np.ndarray, count: int) -> np.ndarray:
    """Leads, before softmax, of a network that has no doubt."""
    scores = np.stack([classes == index for index in range(count)]).astype(np.float32)
    return 100 * (scores[1:] - scores[:1])


def world_mm(affine: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    return voxels @ affine[:3, :3].T + affine[:3, 3]


@pytest.fixture(params=ORIENTATIONS)
def orientation(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=AFFINES.values(), ids=AFFINES.keys())
def affine(request: pytest.FixtureRequest) -> np.ndarray:
    return request.param


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


class TestGrid:
    def test_voxels_stay_where_they_are_in_the_patient(self, orientation, affine):
        """An image whose values are a plane in world space must be that plane on the plan's grid as well."""
        slope = np.array([3.0, -2.0, 1.5])
        ras = Grid(RAS_SHAPE, affine)
        voxels = np.stack(np.meshgrid(*map(np.arange, ras.shape), indexing="ij"), axis=-1)
        plane = (world_mm(affine, voxels) @ slope).astype(np.float32)
        volume = stored_as(plane[None], affine, orientation)
        preprocessor = Preprocessor(settings(PLAN_SPACING))
        placement = preprocessor.place(volume)
        image = preprocessor.image(volume, placement)[0] * 2000 - 1000
        indices = np.argwhere(np.ones(placement.shape))
        beyond = (indices * placement.steps > np.array(placement.crop_shape) - 1 + 1e-9).any(axis=1)
        expected = world_mm(placement.grid.affine, indices) @ slope
        np.testing.assert_allclose(image.reshape(-1)[~beyond], expected[~beyond], atol=1e-3)

    def test_it_has_the_plan_s_orientation_and_spacing(self, orientation):
        volume = stored_as(np.zeros((1, *RAS_SHAPE), np.int16), axial_affine(), orientation)
        grid = Preprocessor(settings(PLAN_SPACING)).place(volume).grid
        assert grid.orientation == "RAS"
        assert grid.spacing_mm == pytest.approx(PLAN_SPACING)

    def test_at_the_file_s_own_spacing_it_is_nibabel_s_canonical_array(self, orientation):
        volume = stored_as(random_labels((0, 1, 2)), axial_affine(), orientation)
        preprocessor = Preprocessor(settings(RAS_SPACING))
        label = preprocessor.label(volume, preprocessor.place(volume), (0, 1, 2))
        canonical = nib.as_closest_canonical(nib.Nifti1Image(volume.array[0], volume.affine))
        np.testing.assert_array_equal(label, np.asarray(canonical.dataobj))

    def test_a_placement_survives_json_to_the_last_bit(self):
        volume = stored_as(np.zeros((1, *RAS_SHAPE), np.int16), oblique_affine(), "PIR")
        placement = Preprocessor(settings(PLAN_SPACING)).place(volume)
        again = Placement.model_validate_json(placement.model_dump_json())
        assert again == placement
        np.testing.assert_array_equal(again.native_grid.affine, volume.affine)


class TestImage:
    def test_each_channel_has_its_own_rule(self):
        array = np.random.default_rng(0).normal(50, 20, (2, 6, 6, 6)).astype(np.float32)
        rules = Preprocessing(
            spacing_mm=(1.0, 1.0, 1.0),
            intensity=(IntensityWindow(window=(0, 100)), ZScore()),
            foreground_above=None,
        )
        volume = Volume(array, np.eye(4))
        preprocessor = Preprocessor(rules)
        image = preprocessor.image(volume, preprocessor.place(volume))
        np.testing.assert_allclose(image[0], np.clip(array[0] / 100, 0, 1), atol=1e-6)
        np.testing.assert_allclose(image[1], (array[1] - array[1].mean()) / array[1].std(), atol=1e-4)

    def test_the_file_s_voxels_are_left_alone(self):
        array = np.random.default_rng(0).normal(50, 20, (1, 6, 6, 6)).astype(np.float32)
        before = array.copy()
        volume = Volume(array, np.eye(4))
        preprocessor = Preprocessor(settings((1.0, 1.0, 1.0)))
        preprocessor.image(volume, preprocessor.place(volume))
        np.testing.assert_array_equal(array, before)

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
    def test_any_type_of_file_becomes_float32(self, dtype):
        volume = Volume(np.full((1, 4, 4, 4), 100, dtype), np.eye(4))
        preprocessor = Preprocessor(settings((1.0, 1.0, 1.0), window=(0, 200)))
        image = preprocessor.image(volume, preprocessor.place(volume))
        assert image.dtype == np.float32
        assert np.unique(image).tolist() == [0.5]

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
    def test_elsewhere_than_on_a_cpu_it_is_the_same_as_a_tensor(self, dtype, orientation):
        array = np.random.default_rng(0).integers(0, 200, (2, *RAS_SHAPE)).astype(dtype)
        volume = stored_as(array, axial_affine(), orientation)
        rules = settings(PLAN_SPACING, window=(0, 150), channels=2)
        placement = Preprocessor(rules).place(volume)
        tensor = Preprocessor(rules, "cpu:0").image(volume, placement)  # as on cuda:0, which is not at hand
        assert isinstance(tensor, torch.Tensor)
        np.testing.assert_allclose(tensor, Preprocessor(rules).image(volume, placement), atol=1e-6)

    def test_another_number_of_channels_than_the_plan_s_is_refused(self):
        volume = Volume(np.zeros((2, 4, 4, 4), np.int16), np.eye(4))
        preprocessor = Preprocessor(settings((1.0, 1.0, 1.0), channels=4))
        with pytest.raises(SeglineError, match="the image has 2 channels, the plan wants 4"):
            preprocessor.image(volume, preprocessor.place(volume))


class TestLabel:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
    def test_label_values_become_class_indices(self, dtype):
        volume = Volume(random_labels((0, 1, 2, 4)).astype(dtype), axial_affine())
        preprocessor = Preprocessor(settings(RAS_SPACING))
        label = preprocessor.label(volume, preprocessor.place(volume), (0, 1, 2, 4))
        assert label.dtype == np.uint8
        np.testing.assert_array_equal(label, np.where(volume.array[0] == 4, 3, volume.array[0]))

    @pytest.mark.parametrize("stray", [-1, 3, 5, 300])
    def test_a_value_the_plan_does_not_know_is_refused(self, stray):
        array = random_labels((0, 1, 2, 4)).astype(np.int16)
        array[0, 3, 3, 3] = stray
        volume = Volume(array, axial_affine())
        preprocessor = Preprocessor(settings(RAS_SPACING))
        with pytest.raises(SeglineError, match=f"value {stray}, the plan knows 0, 1, 2, 4"):
            preprocessor.label(volume, preprocessor.place(volume), (0, 1, 2, 4))


class TestCrop:
    def body(self) -> Volume:
        array = np.full((1, 20, 30, 40), -1000, np.int16)
        array[0, 5:10, 8:20, 30:33] = 40
        return Volume(array, np.diag([1.0, 2.0, 5.0, 1.0]))

    def test_the_box_around_the_foreground_is_kept(self):
        placement = Preprocessor(settings((1.0, 2.0, 5.0), foreground_above=-500)).place(self.body())
        assert placement.crop_start == (5, 8, 30)
        assert placement.crop_stop == (10, 20, 33)

    def test_a_margin_is_in_mm_and_ends_with_the_volume(self):
        wanted = settings((1.0, 2.0, 5.0), foreground_above=-500, margin_mm=7.0)
        placement = Preprocessor(wanted).place(self.body())
        assert placement.crop_start == (0, 4, 28)
        assert placement.crop_stop == (17, 24, 35)

    def test_foreground_in_any_channel_counts(self):
        array = np.zeros((2, 10, 10, 10), np.int16)
        array[0, 2:4, 5, 5] = array[1, 5, 5, 7:9] = 1
        wanted = settings((1.0, 1.0, 1.0), foreground_above=0, channels=2)
        placement = Preprocessor(wanted).place(Volume(array, np.eye(4)))
        assert (placement.crop_start, placement.crop_stop) == ((2, 5, 5), (6, 6, 9))

    def test_the_threshold_itself_is_background(self):
        array = np.zeros((1, 5, 5, 5), np.int16)
        array[0, 2, 2, 2] = 1
        placement = Preprocessor(settings((1.0, 1.0, 1.0), foreground_above=0)).place(
            Volume(array, np.eye(4))
        )
        assert placement.crop_shape == (1, 1, 1)

    @pytest.mark.parametrize("above", [None, 5000.0])
    def test_without_foreground_the_whole_volume_is_kept(self, above):
        placement = Preprocessor(settings((1.0, 2.0, 5.0), foreground_above=above)).place(self.body())
        assert (placement.crop_start, placement.crop_stop) == ((0, 0, 0), (20, 30, 40))

    def test_the_image_is_what_lies_in_the_box(self):
        preprocessor = Preprocessor(settings((1.0, 2.0, 5.0), foreground_above=-500, window=(-1000, 40)))
        placement = preprocessor.place(self.body())
        image = preprocessor.image(self.body(), placement)
        assert image.shape == (1, 5, 12, 3)
        assert image.min() == 1


class TestRestore:
    def test_a_label_at_the_file_s_own_spacing_comes_back_exactly(self, orientation, affine):
        values = (0, 1, 2, 4)
        volume = stored_as(random_labels(values), affine, orientation)
        spacing = Reorientation.between(orientation, "RAS").apply_to_grid(volume.grid).spacing_mm
        preprocessor = Preprocessor(settings(spacing))
        placement = preprocessor.place(volume)
        leads = certain(preprocessor.label(volume, placement, values), 4)
        np.testing.assert_array_equal(restore(leads, placement, values).array, volume.array)

    def test_grid_affine_and_axes_are_exactly_the_file_s_at_any_spacing(self, orientation, affine):
        volume = stored_as(random_labels((0, 1)), affine, orientation)
        preprocessor = Preprocessor(settings(PLAN_SPACING))
        placement = preprocessor.place(volume)
        restored = restore(certain(preprocessor.label(volume, placement, (0, 1)), 2), placement, (0, 1))
        assert restored.array.shape == volume.array.shape
        assert restored.array.dtype == np.uint8
        np.testing.assert_array_equal(restored.affine, volume.affine)

    def test_a_mark_in_a_cropped_box_comes_back_to_its_place(self, orientation):
        body = np.full((1, *RAS_SHAPE), -1000, np.int16)
        body[0, 3:8, 4:12, 2:7] = 40
        mark = np.zeros((1, *RAS_SHAPE), np.uint8)
        mark[0, 6, 10, 3] = 1
        image, label = (stored_as(array, axial_affine(), orientation) for array in (body, mark))
        preprocessor = Preprocessor(settings(RAS_SPACING, foreground_above=-500))
        placement = preprocessor.place(image)
        assert placement.crop_shape == (5, 8, 5)
        restored = restore(certain(preprocessor.label(label, placement, (0, 1)), 2), placement, (0, 1))
        np.testing.assert_array_equal(restored.array, label.array)

    def test_beyond_the_box_all_is_background(self):
        array = np.zeros((1, 12, 12, 12), np.int16)
        array[0, 4:8, 4:8, 4:8] = 1
        placement = Preprocessor(settings((0.7, 0.7, 0.7), foreground_above=0)).place(
            Volume(array, np.eye(4))
        )
        everywhere = np.ones((1, *placement.shape), np.float32)
        np.testing.assert_array_equal(restore(everywhere, placement, (0, 1)).array, array)

    def test_where_no_class_beats_the_background_all_is_background(self):
        placement = Preprocessor(settings(PLAN_SPACING)).place(
            Volume(random_labels((0, 1)).astype(np.int16), axial_affine())
        )
        assert not restore(np.zeros((2, *placement.shape), np.float32), placement, (0, 1, 2)).array.any()

    @pytest.mark.parametrize("classes", [2, 4])
    @pytest.mark.parametrize("spacing_mm", [(0.5, 0.6, 1.1), (2.7, 2.0, 3.9)], ids=["finer", "coarser"])
    def test_it_is_the_largest_of_the_probabilities_interpolated_everywhere(self, classes, spacing_mm):
        volume = stored_as(np.zeros((1, *RAS_SHAPE), np.int16), axial_affine(), "RAS")
        placement = Preprocessor(settings(spacing_mm)).place(volume)
        scores = np.zeros((classes, *placement.shape), np.float32)
        scores[0] = 0.5
        x, y, z = (size // 2 for size in placement.shape)
        scores[:, -x:, 1 : 1 + y, -z:] = np.random.default_rng(0).random((classes, x, y, z))
        probabilities = special.softmax(scores.astype(np.float64), axis=0)
        native = resample_linear(probabilities, RAS_SHAPE, tuple(1 / step for step in placement.steps))
        leads, values = scores[1:] - scores[:1], tuple(range(classes))
        tensor = torch.from_numpy(leads.copy())
        np.testing.assert_array_equal(restore(leads, placement, values).array[0], native.argmax(axis=0))
        np.testing.assert_array_equal(restore(tensor, placement, values).array[0], native.argmax(axis=0))


@dataclass(frozen=True)
class RoundTrip:
    dice: float
    same_grid: bool


def dice(a: np.ndarray, b: np.ndarray) -> float:
    voxels = np.nonzero(a.T)  # a file's first axis is the fastest: this way it is read as it lies in memory
    return 2 * np.count_nonzero(b.T[voxels]) / (len(voxels[0]) + np.count_nonzero(b))


def there_and_back(path: Path) -> RoundTrip:
    label = read_volume(path)
    preprocessor = Preprocessor(settings(FLAGSHIP_SPACING))
    placement = preprocessor.place(label)
    leads = certain(preprocessor.label(label, placement, (0, 1)), 2)
    restored = restore(leads, placement, (0, 1))
    same_grid = restored.grid.shape == label.grid.shape and np.array_equal(restored.affine, label.affine)
    return RoundTrip(dice(label.array[0], restored.array[0]), same_grid)


@pytest.fixture(scope="module")
def spleen_labels(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "Task09_Spleen_labels" / "labelsTr").glob("*.nii.gz"))


@pytest.fixture(scope="module")
def round_trips(spleen_labels: list[Path]) -> list[RoundTrip]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(there_and_back, spleen_labels))


@pytest.mark.heavy
class TestSpleenLabelsThereAndBackAtFlagshipSpacing:
    """The most that a perfect network could reach on the 41 labels of Decathlon's spleen task."""

    def test_all_41_are_there(self, round_trips):
        assert len(round_trips) == 41

    def test_shape_and_affine_are_exactly_the_file_s(self, round_trips):
        assert all(trip.same_grid for trip in round_trips)

    def test_the_mean_dice_leaves_room_for_a_good_model(self, round_trips):
        assert np.mean([trip.dice for trip in round_trips]) >= LEAST_MEAN_DICE

    def test_no_case_is_an_exception(self, round_trips):
        assert min(trip.dice for trip in round_trips) >= LEAST_DICE

    def test_interpolating_scores_back_loses_a_fifth_less_than_taking_the_nearest_class(
        self, spleen_labels, round_trips
    ):
        losses = []
        for path, trip in zip(spleen_labels[:3], round_trips, strict=False):
            label = read_volume(path)
            preprocessor = Preprocessor(settings(FLAGSHIP_SPACING))
            placement = preprocessor.place(label)
            spleen = preprocessor.label(label, placement, (0, 1))
            steps = tuple(1 / step for step in placement.steps)
            nearest = placement.reorientation.undo(resample_nearest(spleen, placement.crop_shape, steps))
            losses.append((1 - trip.dice, 1 - dice(label.array[0], nearest)))
        assert all(linear < nearest for linear, nearest in losses)
        linear, nearest = np.mean(losses, axis=0)
        assert linear < 0.8 * nearest
