"""Agreement of two masks: overlap, surfaces, volume, lesions, and what empty masks give."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from segline.common.errors import SeglineError
from segline.evaluation.masks import overlap, pairs
from segline.evaluation.masks import surfaces as module
from segline.evaluation.masks.label_metrics import LabelMetrics, label_metrics
from segline.evaluation.masks.surfaces import SurfaceDistances
from segline.imaging.files import read_volume

CT_SPACING_MM = (0.8, 0.8, 5.0)


def empty(shape: tuple[int, int, int] = (8, 8, 8)) -> np.ndarray:
    return np.zeros(shape, bool)


def box(start: tuple[int, int, int], stop: tuple[int, int, int], shape=(40, 36, 20)) -> np.ndarray:
    mask = empty(shape)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def ball(radius_mm: float, spacing_mm: tuple[float, float, float], shape=(44, 44, 26)) -> np.ndarray:
    axes = [(np.arange(n) - n // 2) * mm for n, mm in zip(shape, spacing_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x**2 + y**2 + z**2 <= radius_mm**2


def blob(seed: int, shape=(40, 36, 14)) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, (3, 3, 1)) > 0.02


def surfaces(truth: np.ndarray, prediction: np.ndarray, spacing_mm=(1.0, 1.0, 1.0)) -> SurfaceDistances:
    return SurfaceDistances.between(truth, prediction, spacing_mm)


class TestEqualMasks:
    def test_every_figure_is_perfect(self):
        found = label_metrics(blob(1), blob(1), CT_SPACING_MM, tolerance_mm=0)
        assert (found.dice, found.nsd, found.hd95_mm, found.sensitivity) == (1, 1, 0, 1)
        assert (found.relative_volume_error, found.lesion_detection_rate) == (0, 1)
        assert found.truth_ml == found.prediction_ml

    def test_a_single_voxel_has_a_surface(self):
        mask = box((3, 3, 3), (4, 4, 4))
        assert label_metrics(mask, mask, CT_SPACING_MM, tolerance_mm=0).nsd == 1

    def test_the_whole_volume_has_a_surface(self):
        mask = np.ones((4, 5, 6), bool)
        assert label_metrics(mask, mask, CT_SPACING_MM, tolerance_mm=0).nsd == 1


class TestEmptyMasks:
    def test_both_empty_agree_and_leave_the_rest_undefined(self):
        found = label_metrics(empty(), empty(), CT_SPACING_MM, tolerance_mm=1)
        assert (found.dice, found.nsd, found.hd95_mm) == (1, 1, 0)
        assert found.sensitivity is found.relative_volume_error is found.lesion_detection_rate is None
        assert found.truth_ml == found.prediction_ml == 0

    def test_an_empty_truth_leaves_what_is_relative_to_it_undefined(self):
        found = label_metrics(empty(), np.ones((8, 8, 8), bool), CT_SPACING_MM, tolerance_mm=1)
        assert (found.dice, found.nsd, found.hd95_mm) == (0, 0, None)
        assert found.sensitivity is found.relative_volume_error is found.lesion_detection_rate is None

    def test_an_empty_prediction_finds_nothing(self):
        found = label_metrics(np.ones((8, 8, 8), bool), empty(), CT_SPACING_MM, tolerance_mm=1)
        assert (found.dice, found.nsd, found.hd95_mm) == (0, 0, None)
        assert (found.sensitivity, found.relative_volume_error, found.lesion_detection_rate) == (0, -1, 0)

    def test_the_result_is_valid_json_both_ways(self):
        found = label_metrics(empty(), np.ones((8, 8, 8), bool), CT_SPACING_MM, tolerance_mm=1)
        assert LabelMetrics.model_validate_json(found.model_dump_json()) == found


class TestOverlap:
    def test_dice_of_half_overlapping_boxes(self):
        assert overlap.dice(box((0, 0, 0), (4, 4, 4)), box((2, 0, 0), (6, 4, 4))) == 0.5

    def test_dice_of_concentric_balls_is_that_of_their_volumes(self):
        small, large = ball(12, (1, 1, 2)), ball(16, (1, 1, 2))
        assert overlap.dice(small, large) == pytest.approx(2 * 12**3 / (12**3 + 16**3), rel=0.02)

    def test_sensitivity_ignores_false_positives(self):
        assert overlap.sensitivity(box((0, 0, 0), (4, 4, 4)), np.ones((40, 36, 20), bool)) == 1

    def test_sensitivity_is_the_share_found(self):
        assert overlap.sensitivity(box((0, 0, 0), (4, 4, 4)), box((0, 0, 0), (4, 4, 1))) == 0.25

    def test_volume_error_is_positive_where_too_much_is_predicted(self):
        truth, prediction = box((0, 0, 0), (4, 4, 2)), box((0, 0, 0), (4, 4, 3))
        assert overlap.relative_volume_error(truth, prediction) == 0.5
        assert overlap.relative_volume_error(prediction, truth) == pytest.approx(-1 / 3)

    def test_volumes_are_in_millilitres(self):
        found = label_metrics(box((0, 0, 0), (10, 10, 10)), empty((40, 36, 20)), (0.5, 2, 5), tolerance_mm=1)
        assert found.truth_ml == pytest.approx(5)


class TestSurfaceDistance:
    def test_the_areas_of_a_ball_sum_to_its_surface_and_a_tenth_for_the_stairs(self):
        mask = ball(16, (1, 1, 2))
        area_mm2 = surfaces(mask, mask, (1, 1, 2)).truth_mm2.sum()
        assert 1 < area_mm2 / (4 * math.pi * 16**2) < 1.12

    def test_the_faces_of_a_box_have_their_exact_area_but_for_bevelled_edges(self):
        mask = box((2, 3, 4), (32, 23, 14))
        faces_mm2 = 2 * (30 * 20 * 0.8 * 0.8 + 30 * 10 * 0.8 * 5 + 20 * 10 * 0.8 * 5)
        area_mm2 = surfaces(mask, mask, CT_SPACING_MM).truth_mm2.sum()
        assert 0.9 * faces_mm2 < area_mm2 < faces_mm2

    @pytest.mark.parametrize("seed", range(3))
    def test_distances_are_those_of_a_search_over_all_pairs(self, seed):
        truth, prediction = blob(seed), blob(seed + 100)
        found = surfaces(truth, prediction, CT_SPACING_MM)
        pairs_mm = cdist(corners_mm(truth), corners_mm(prediction))
        np.testing.assert_allclose(found.truth_mm, pairs_mm.min(axis=1), atol=1e-9)
        np.testing.assert_allclose(found.prediction_mm, pairs_mm.min(axis=0), atol=1e-9)

    def test_a_mask_at_the_edge_of_the_volume_closes_there(self):
        truth, prediction = blob(1)[:9, :, :6], blob(2)[:9, :, :6]
        inside = label_metrics(np.pad(truth, 4), np.pad(prediction, 4), CT_SPACING_MM, tolerance_mm=1)
        assert label_metrics(truth, prediction, CT_SPACING_MM, tolerance_mm=1) == inside

    def test_swapping_the_masks_changes_neither_nsd_nor_hd95(self):
        there, back = surfaces(blob(1), blob(2), CT_SPACING_MM), surfaces(blob(2), blob(1), CT_SPACING_MM)
        assert module.nsd(there, 1) == pytest.approx(module.nsd(back, 1), abs=1e-12)
        assert module.hd95_mm(there) == module.hd95_mm(back)

    @pytest.mark.parametrize("axes", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
    def test_permuting_axes_with_their_spacing_changes_nothing(self, axes):
        spacing_mm = (0.7, 1.1, 3.0)
        moved_mm = tuple(spacing_mm[axis] for axis in axes)
        straight = surfaces(blob(1), blob(2), spacing_mm)
        permuted = surfaces(blob(1).transpose(axes), blob(2).transpose(axes), moved_mm)
        assert module.nsd(permuted, 1) == pytest.approx(module.nsd(straight, 1), abs=1e-7)
        assert module.hd95_mm(permuted) == pytest.approx(module.hd95_mm(straight), abs=1e-9)

    def test_memory_order_changes_nothing(self):
        fortran = label_metrics(np.asfortranarray(blob(1)), blob(2), CT_SPACING_MM, tolerance_mm=1)
        assert fortran == label_metrics(blob(1), blob(2), CT_SPACING_MM, tolerance_mm=1)


class TestNsd:
    def test_concentric_balls_agree_from_the_difference_of_their_radii_on(self):
        distances = surfaces(ball(12, (1, 1, 2)), ball(16, (1, 1, 2)), (1, 1, 2))
        assert module.nsd(distances, 1) == 0
        assert module.nsd(distances, 6) == 1

    @pytest.mark.parametrize(("spacing", "shift"), [(0.7, 3), (0.8, 2), (1.1, 3), (2.5, 2), (0.785156, 5)])
    def test_a_shift_of_just_the_tolerance_is_tolerated(self, spacing, shift):
        plate = box((5, 3, 3), (7, 33, 17))
        distances = surfaces(plate, np.roll(plate, shift, 0), (spacing, 1.0, 1.0))
        assert module.nsd(distances, shift * spacing) == 1
        assert module.nsd(distances, shift * spacing - 0.01) < 0.7

    def test_the_tolerance_is_in_millimetres_not_voxels(self):
        plate = box((4, 4, 8), (36, 32, 9))
        distances = surfaces(plate, np.roll(plate, 1, 2), CT_SPACING_MM)
        assert module.nsd(distances, 1) < 0.6
        assert module.nsd(distances, 5) == 1

    def test_elements_weigh_by_their_area(self):
        distances = SurfaceDistances(
            np.array([0.0, 9.0]), np.array([0.0]), np.array([3.0, 1.0]), np.array([4.0])
        )
        assert module.nsd(distances, 1) == 7 / 8


class TestHd95:
    def test_a_shifted_plate_is_off_by_the_shift(self):
        plate = box((4, 4, 8), (36, 32, 9))
        assert module.hd95_mm(surfaces(plate, np.roll(plate, 2, 2), CT_SPACING_MM)) == 10

    def test_concentric_balls_are_off_by_the_difference_of_their_radii(self):
        distances = surfaces(ball(12, (1, 1, 2)), ball(16, (1, 1, 2)), (1, 1, 2))
        assert module.hd95_mm(distances) == pytest.approx(4, abs=1)

    @pytest.mark.parametrize(("far_mm2", "expected_mm"), [(4.0, 1.0), (6.0, 10.0)])
    def test_the_percentile_is_of_area_not_of_elements(self, far_mm2, expected_mm):
        near = SurfaceDistances(
            np.array([10.0, 1.0]), np.array([0.0]), np.array([far_mm2, 100 - far_mm2]), np.array([1.0])
        )
        assert module.hd95_mm(near) == expected_mm

    def test_the_worse_direction_counts(self):
        truth = box((4, 4, 4), (8, 8, 8))
        prediction = truth | box((30, 4, 4), (34, 8, 8))
        distances = surfaces(truth, prediction)
        assert distances.truth_mm.max() == 0
        assert module.hd95_mm(distances) == module.hd95_mm(surfaces(prediction, truth)) > 20

    def test_one_stray_voxel_far_away_is_forgiven(self):
        truth = box((4, 4, 4), (24, 24, 16))
        assert module.hd95_mm(surfaces(truth, truth | box((38, 34, 18), (39, 35, 19)))) == 0


class TestAgainstTheAuthorsCode:
    """The package ``surface-distance`` of the authors of the NSD, where it is installed."""

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("spacing_mm", [CT_SPACING_MM, (1.0, 2.0, 3.0)])
    def test_nsd_and_hd95_are_the_same(self, seed, spacing_mm):
        authors = pytest.importorskip("surface_distance", reason="pip install surface-distance")
        truth, prediction = blob(seed), blob(seed + 100)
        theirs = authors.compute_surface_distances(truth, prediction, spacing_mm)
        ours = surfaces(truth, prediction, spacing_mm)
        assert ours.truth_mm2.sum() == pytest.approx(theirs["surfel_areas_gt"].sum(), rel=1e-6)
        for tolerance_mm in (0, 1, 2, 4):
            expected = authors.compute_surface_dice_at_tolerance(theirs, tolerance_mm)
            assert module.nsd(ours, tolerance_mm) == pytest.approx(expected, abs=1e-6)
        expected_mm = authors.compute_robust_hausdorff(theirs, 95)
        assert module.hd95_mm(ours) == pytest.approx(expected_mm, abs=1e-6)


class TestLesionDetection:
    def test_it_is_the_share_of_lesions_touched(self):
        found, missed = box((2, 2, 2), (6, 6, 6)), box((20, 20, 10), (24, 24, 12))
        assert overlap.lesion_detection_rate(found | missed, found) == 0.5

    def test_one_voxel_detects_a_lesion(self):
        assert overlap.lesion_detection_rate(box((2, 2, 2), (6, 6, 6)), box((5, 5, 5), (9, 9, 9))) == 1

    def test_beside_a_lesion_is_not_in_it(self):
        assert overlap.lesion_detection_rate(box((2, 2, 2), (6, 6, 6)), box((6, 2, 2), (9, 6, 6))) == 0

    def test_corners_that_touch_make_one_lesion(self):
        near, diagonal = box((2, 2, 2), (4, 4, 4)), box((4, 4, 4), (6, 6, 6))
        assert overlap.lesion_detection_rate(near | diagonal, near) == 1

    def test_false_lesions_do_not_count(self):
        truth = box((2, 2, 2), (6, 6, 6))
        assert overlap.lesion_detection_rate(truth, truth | box((20, 20, 10), (24, 24, 12))) == 1


class TestVoxelAgreement:
    def test_it_is_the_share_of_equal_voxels(self):
        a = np.array([[[0, 1, 2, 2]]], np.uint8)
        assert pairs.voxel_agreement(a, np.array([[[0, 1, 2, 0]]], np.int16)) == 0.75

    def test_shapes_must_be_equal(self):
        with pytest.raises(SeglineError, match="4x4x4 and 4x4x5 voxels cannot be compared"):
            pairs.voxel_agreement(empty((4, 4, 4)), empty((4, 4, 5)))


class TestBadInput:
    def test_different_grids_name_both(self):
        with pytest.raises(SeglineError, match="truth of 4x4x4 and prediction of 4x4x5 voxels"):
            label_metrics(empty((4, 4, 4)), empty((4, 4, 5)), CT_SPACING_MM, tolerance_mm=1)

    def test_a_label_map_is_not_a_mask(self):
        with pytest.raises(TypeError, match="masks must be bool, not uint8"):
            overlap.dice(empty().astype(np.uint8), empty())

    @pytest.mark.parametrize("tolerance_mm", [-1, math.nan, math.inf])
    def test_a_tolerance_is_a_length(self, tolerance_mm):
        with pytest.raises(SeglineError, match="tolerance"):
            label_metrics(blob(1), blob(2), CT_SPACING_MM, tolerance_mm)

    @pytest.mark.parametrize("spacing_mm", [(1, 1, 0), (1, 1), (1, 1, math.nan), (1, -1, 1)])
    def test_a_spacing_is_three_lengths(self, spacing_mm):
        with pytest.raises(SeglineError, match="spacing"):
            label_metrics(blob(1), blob(2), spacing_mm, tolerance_mm=1)


def test_a_real_spleen_shifted_by_one_slice(shared_data: Path):
    path = shared_data / "Task09_Spleen_labels" / "labelsTr" / "spleen_12.nii.gz"
    if not path.is_file():
        pytest.skip(f"no label at {path}")
    label = read_volume(path)
    truth = label.array[0] == 1
    found = label_metrics(truth, np.roll(truth, 1, axis=2), label.grid.spacing_mm, tolerance_mm=1.5)
    assert found.nsd == 1
    assert 0 < found.hd95_mm <= label.grid.spacing_mm[2]
    assert found.relative_volume_error == 0 and found.lesion_detection_rate == 1


def corners_mm(mask: np.ndarray) -> np.ndarray:
    """Positions of the corners between voxels that a surface passes, found one by one."""
    padded = np.pad(mask, 1)
    found = [
        corner
        for corner in np.ndindex(*(size + 1 for size in mask.shape))
        if 0 < padded[tuple(slice(i, i + 2) for i in corner)].sum() < 8
    ]
    return np.array(found) * CT_SPACING_MM
