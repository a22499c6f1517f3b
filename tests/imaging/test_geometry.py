"""Grids, orientations, and exact moves between them."""

import doctest
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform

from segline.common.errors import SeglineError
from segline.imaging import geometry
from segline.imaging.geometry import Grid, Reorientation, bounding_box

ALL_ORIENTATIONS = [
    "".join(pair[side] for pair, side in zip(axes, sides, strict=True))
    for axes in permutations(("LR", "PA", "IS"))
    for sides in product((0, 1), repeat=3)
]
SPACING_MM = (0.8, 1.2, 5.0)


def affine_of(codes: str, tilt: float = 0.0) -> np.ndarray:
    """An affine with ``SPACING_MM`` along its voxel axes, turned by ``tilt`` about the patient's x."""
    axes = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, code in enumerate(codes):
        row, sign = axes[code]
        affine[row, column] = sign * SPACING_MM[column]
    turn = np.array(
        [[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]], dtype=float
    )
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (-120.5, 33.25, 900)
    return affine


def numbered(shape: tuple[int, ...] = (3, 4, 5)) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape)


def position_mm(affine: np.ndarray, index) -> np.ndarray:
    return affine[:3, :3] @ np.asarray(index) + affine[:3, 3]


def test_the_documented_examples_hold():
    assert doctest.testmod(geometry).failed == 0


def test_there_are_48_orientations():
    assert len(set(ALL_ORIENTATIONS)) == 48


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
class TestEveryOrientation:
    def test_it_is_read_from_the_affine(self, codes):
        assert geometry.orientation(affine_of(codes)) == codes
        assert geometry.orientation(affine_of(codes, tilt=0.3)) == codes

    def test_spacing_is_along_voxel_axes(self, codes):
        assert geometry.spacing_mm(affine_of(codes, tilt=0.3)) == SPACING_MM

    def test_undo_brings_every_voxel_back(self, codes):
        move, array = Reorientation.between(codes, "RAS"), numbered()
        np.testing.assert_array_equal(move.undo(move.apply(array)), array)

    def test_apply_is_that_of_nibabel(self, codes):
        steps = ornt_transform(axcodes2ornt(codes), axcodes2ornt("RAS"))
        expected = apply_orientation(numbered(), steps)
        np.testing.assert_array_equal(Reorientation.between(codes, "RAS").apply(numbered()), expected)

    @pytest.mark.parametrize("tilt", [0.0, 0.3])
    def test_every_voxel_stays_where_it_is_in_the_patient(self, codes, tilt):
        grid = Grid((3, 4, 5), affine_of(codes, tilt))
        move = Reorientation.between(codes, "RAS")
        moved, moved_grid = move.apply(numbered()), move.apply_to_grid(grid)
        for index in np.ndindex(3, 4, 5):
            (there,) = np.argwhere(moved == numbered()[index])
            np.testing.assert_allclose(
                position_mm(moved_grid.affine, there), position_mm(grid.affine, index), atol=1e-9
            )

    def test_the_moved_grid_has_the_shape_and_orientation_asked_for(self, codes):
        move = Reorientation.between(codes, "LPS")
        moved = move.apply_to_grid(Grid((3, 4, 5), affine_of(codes)))
        assert moved.orientation == "LPS"
        assert moved.shape == move.apply(numbered()).shape

    def test_from_ras_to_it_and_back(self, codes):
        there, back = Reorientation.between("RAS", codes), Reorientation.between(codes, "RAS")
        np.testing.assert_array_equal(back.apply(there.apply(numbered())), numbered())


def test_the_same_orientation_moves_nothing():
    assert Reorientation.between("LAS", "LAS") == Reorientation((0, 1, 2), (False, False, False))


def test_reorienting_leaves_leading_axes_alone():
    move, array = Reorientation.between("PIR", "RAS"), numbered((2, 3, 4, 5))
    moved = move.apply(array)
    for channel in range(2):
        np.testing.assert_array_equal(moved[channel], move.apply(array[channel]))
    np.testing.assert_array_equal(move.undo(moved), array)


def test_reorienting_copies_nothing():
    array = numbered()
    move = Reorientation.between("PIR", "RAS")
    assert np.shares_memory(move.apply(array), array) and np.shares_memory(move.undo(array), array)


class TestGrid:
    def test_it_knows_spacing_and_orientation(self):
        grid = Grid((3, 4, 5), affine_of("LPS"))
        assert (grid.spacing_mm, grid.orientation) == (SPACING_MM, "LPS")

    def test_it_matches_one_that_went_through_a_nifti_file(self):
        affine = affine_of("LPS", tilt=0.3)
        image = nib.Nifti1Image.from_bytes(nib.Nifti1Image(np.zeros((3, 4, 5), np.uint8), affine).to_bytes())
        assert Grid((3, 4, 5), affine).matches(Grid((3, 4, 5), image.affine))

    def test_another_shape_does_not_match(self):
        assert not Grid((3, 4, 5), np.eye(4)).matches(Grid((3, 4, 6), np.eye(4)))

    def test_another_origin_does_not_match(self):
        moved = np.eye(4)
        moved[2, 3] = 0.12
        assert not Grid((3, 4, 5), np.eye(4)).matches(Grid((3, 4, 5), moved))
        moved[2, 3] = 0.08
        assert Grid((3, 4, 5), np.eye(4)).matches(Grid((3, 4, 5), moved))

    def test_a_grid_of_tiny_voxels_may_be_off_by_a_quarter_of_one(self):
        tiny = np.diag([0.05, 0.05, 0.05, 1.0])
        for off, matches in ((0.012, True), (0.02, False)):
            moved = tiny.copy()
            moved[0, 3] = off
            assert Grid((3, 4, 5), tiny).matches(Grid((3, 4, 5), moved)) is matches

    def test_spacing_of_four_digits_matches_and_a_difference_is_told_in_mm(self):
        exact, rounded = (Grid((512, 512, 31), np.diag([mm, mm, 5, 1])) for mm in (0.703125, 0.7031))
        rounded.require_same(exact, "a.nii.gz: label")
        other = Grid((512, 512, 31), np.diag([0.7, 0.703125, 5, 1]))
        with pytest.raises(SeglineError) as refused:
            other.require_same(exact, "a.nii.gz: label")
        assert str(refused.value).startswith(
            "a.nii.gz: label grid lies up to 1.597 mm off image grid, 0.1 mm are allowed: "
            "RAS 0.7x0.703125x5 mm at (0, 0, 0) mm and RAS 0.703125x0.703125x5 mm at (0, 0, 0) mm"
        )

    def test_a_flipped_grid_of_the_same_box_does_not_match(self):
        grid = Grid((3, 4, 5), affine_of("RAS"))
        assert not grid.matches(Reorientation.between("RAS", "LAS").apply_to_grid(grid))

    def test_a_small_error_of_spacing_matters_on_a_large_grid_only(self):
        stretched = np.diag([1.0, 1.0, 1.0002, 1.0])
        assert Grid((9, 9, 9), np.eye(4)).matches(Grid((9, 9, 9), stretched))
        assert not Grid((9, 9, 900), np.eye(4)).matches(Grid((9, 9, 900), stretched))


def test_a_shape_is_three_integers():
    assert geometry.as_shape(np.array([3, 4, 5])) == (3, 4, 5)
    with pytest.raises(ValueError):
        geometry.as_shape((3, 4))


@pytest.mark.parametrize("order", permutations(range(3)))
@pytest.mark.parametrize("set_voxels", [[], [(0, 0, 0)], [(1, 4, 2), (3, 2, 6)], [(4, 5, 6)]], ids=len)
def test_the_box_of_a_mask_holds_its_voxels_however_it_lies_in_memory(
    order: tuple[int, ...], set_voxels: list[tuple[int, int, int]]
) -> None:
    mask = np.zeros((5, 6, 7), bool)
    for voxel in set_voxels:
        mask[voxel] = True
    laid = np.ascontiguousarray(mask.transpose(order)).transpose(np.argsort(order))
    along = list(zip(*set_voxels, strict=True)) or [()] * 3
    wanted = tuple(slice(min(values, default=0), max(values, default=-1) + 1) for values in along)
    assert bounding_box(laid) == bounding_box(laid[:, ::-1][:, ::-1]) == wanted
