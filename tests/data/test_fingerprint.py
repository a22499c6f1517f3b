"""What a plan is proposed from."""

import json
from pathlib import Path

import numpy as np
import pytest

from segline.common.errors import SeglineError
from segline.data.fingerprint import take_fingerprint
from segline.data.manifest import Manifest
from segline.data.phantom.scanner import write_phantom
from segline.data.verification import verify
from segline.imaging.files import write_volume
from segline.imaging.geometry import Grid, Reorientation, as_shape
from segline.imaging.volume import Volume

SHAPE = (20, 24, 12)
SPACING_MM = (1.0, 1.5, 4.0)


def dataset(
    folder: Path,
    cases: list[tuple[np.ndarray, np.ndarray]],
    modalities: tuple[str, ...] = ("CT",),
    orientations: tuple[str, ...] = ("RAS",),
) -> Manifest:
    """A folder of images ``(C, X, Y, Z)`` and labels ``(X, Y, Z)``, given as RAS, stored in other axes."""
    names = [f"case_{number}.nii" for number in range(len(cases))]
    for number, (name, (image, label)) in enumerate(zip(names, cases, strict=True)):
        turn = Reorientation.between("RAS", orientations[number % len(orientations)])
        affine = turn.apply_to_grid(Grid(as_shape(label.shape), np.diag([*SPACING_MM, 1.0]))).affine
        write_volume(folder / "imagesTr" / name, Volume(turn.apply(image), affine))
        write_volume(folder / "labelsTr" / name, Volume(turn.apply(label[None]), affine))
    content = {
        "modality": {str(number): name for number, name in enumerate(modalities)},
        "labels": {"0": "background", "1": "organ"},
        "training": [{"image": f"imagesTr/{name}", "label": f"labelsTr/{name}"} for name in names],
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return verify(folder)


def case(seed: int, channels: int = 1, labelled: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = rng.normal(100 * seed, 30, (channels, *SHAPE)).astype(np.float32)
    return image, (rng.random(SHAPE) < labelled).astype(np.uint8)


class TestGeometry:
    def test_spacings_and_shapes_are_in_ras_order_whatever_the_file_s_axes(self, tmp_path):
        cases = [case(seed) for seed in range(4)]
        found = take_fingerprint(dataset(tmp_path, cases, orientations=("RAS", "PIR", "SLA", "ASL")))
        assert found.spacings_mm == (SPACING_MM,) * 4
        assert found.shapes == (SHAPE,) * 4


class TestIntensities:
    def test_percentiles_are_those_of_all_labelled_voxels(self, tmp_path):
        cases = [case(seed, channels=2) for seed in range(3)]
        found = take_fingerprint(dataset(tmp_path, cases, modalities=("T1", "T2")))
        for channel, percentiles in enumerate(found.foreground_percentiles):
            voxels = np.concatenate([image[channel][label > 0] for image, label in cases])
            assert percentiles == pytest.approx(np.percentile(voxels, (0.5, 50, 99.5)), rel=1e-5)

    def test_image_and_label_are_read_in_the_same_axes(self, tmp_path):
        image, label = case(1)
        image[0][label > 0] = 77
        found = take_fingerprint(dataset(tmp_path, [(image, label)], orientations=("PIR",)))
        assert found.foreground_percentiles == ((77, 77, 77),)

    def test_a_case_without_labelled_voxels_is_left_out(self, tmp_path):
        empty = case(9, labelled=0)
        alone = take_fingerprint(dataset(tmp_path / "a", [case(1)])).foreground_percentiles
        assert take_fingerprint(dataset(tmp_path / "b", [case(1), empty])).foreground_percentiles == alone

    def test_without_any_labelled_voxel_there_is_nothing_to_plan(self, tmp_path):
        manifest = dataset(tmp_path / "blank", [case(1, labelled=0), case(2, labelled=0)])
        with pytest.raises(SeglineError, match="data set blank: no case has a labelled voxel"):
            take_fingerprint(manifest)

    def test_a_large_case_is_thinned_out_and_does_not_outvote_a_small_one(self, tmp_path):
        large, small = np.zeros((1, 25, 25, 24), np.float32), np.full((1, 25, 20, 18), 10, np.float32)
        pairs = [(image, np.ones(image.shape[1:], np.uint8)) for image in (large, small)]
        assert (large.size, small.size) == (15_000, 9_000)
        ((low, median, high),) = take_fingerprint(dataset(tmp_path, pairs)).foreground_percentiles
        assert (low, median, high) == (0, 10, 10)


def test_a_phantom_s_spleen_lies_within_soft_tissue(tmp_path):
    write_phantom(tmp_path / "Phantom", 3)
    ((low, median, high),) = take_fingerprint(verify(tmp_path / "Phantom")).foreground_percentiles
    assert -100 < low < median < high < 300


class TestCrop:
    """The value above which a box is cropped is chosen so that no label is cropped away."""

    def mr(self, tissue: float, outside: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        image = np.full((1, *SHAPE), outside, np.float32)
        image[0, 8:12, 8:12, 4:8] = tissue
        label = np.zeros(SHAPE, np.uint8)
        label[9:11, 9:11, 5:7] = 1
        return image, label

    def above(
        self, folder: Path, cases: list[tuple[np.ndarray, np.ndarray]], modality: str = "MR"
    ) -> float | None:
        return take_fingerprint(dataset(folder, cases, (modality,))).foreground_above

    def test_an_image_on_a_background_of_0_is_cropped_above_it(self, tmp_path):
        assert self.above(tmp_path, [self.mr(50), self.mr(60)]) == 0

    def test_negative_tissue_is_not_cropped(self, tmp_path):
        assert self.above(tmp_path, [self.mr(50), self.mr(-60)]) is None

    def test_nor_is_a_label_that_lies_outside_the_box(self, tmp_path):
        image, label = self.mr(50)
        label[0, 0, 0] = 1
        assert self.above(tmp_path, [self.mr(50), (image, label)]) is None

    def test_ct_is_cropped_above_minus_500(self, tmp_path):
        assert self.above(tmp_path, [self.mr(50, -1000)], "CT") == -500

    def test_but_not_where_labels_are_in_air(self, tmp_path):
        image, label = self.mr(50, -1000)
        label[19, 23, 0] = 1
        assert self.above(tmp_path, [(image, label)], "CT") is None
