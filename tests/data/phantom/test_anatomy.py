import json
from pathlib import Path

import numpy as np
import pytest

from segline.common.errors import SeglineError
from segline.data.phantom.scanner import phantom_case, phantom_on_grid, write_phantom
from segline.imaging.files import read_volume
from segline.imaging.geometry import Grid, Reorientation
from segline.imaging.volume import Volume

pytestmark = pytest.mark.heavy

CASES = 10


@pytest.fixture(scope="module")
def cases() -> list[tuple[Volume, Volume]]:
    return [phantom_case(index) for index in range(CASES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantom") / "Phantom"
    write_phantom(path, cases=2)
    return path


def in_ras(volume: Volume) -> Volume:
    to_ras = Reorientation.between(volume.grid.orientation, "RAS")
    return Volume(to_ras.apply(volume.array), to_ras.apply_to_grid(volume.grid).affine)


def world_mm(label: Volume) -> np.ndarray:
    voxels = np.argwhere(label.array[0] == 1)
    return voxels @ label.affine[:3, :3].T + label.affine[:3, 3]


def millilitres(label: Volume) -> float:
    return float(label.array.sum() * np.prod(label.grid.spacing_mm) / 1000)


def is_cut(label: Volume) -> bool:
    spleen = in_ras(label).array[0]
    return bool(spleen[..., 0].any() or spleen[..., -1].any())


def axial_grid(spacing_mm: tuple[float, float, float]) -> Grid:
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = (-180, -140, -90)
    x, y, z = (np.array([360, 280, 190]) // spacing_mm).astype(int)
    return Grid((x, y, z), affine)


def test_an_image_is_hu_and_a_label_is_zero_or_one(cases: list[tuple[Volume, Volume]]) -> None:
    for image, label in cases:
        assert image.array.dtype == np.int16
        assert image.array.ndim == 4
        assert image.array.min() >= -1024
        assert label.array.dtype == np.uint8
        assert np.unique(label.array).tolist() == [0, 1]
        assert label.grid.matches(image.grid)


def test_the_same_index_and_seed_give_the_same_case(cases: list[tuple[Volume, Volume]]) -> None:
    for first, again in zip(cases[3], phantom_case(3), strict=True):
        assert np.array_equal(first.array, again.array)
        assert np.array_equal(first.affine, again.affine)


def test_another_index_gives_another_patient() -> None:
    grid = axial_grid((4, 4, 6))
    labels = [phantom_on_grid(grid, index)[1].array for index in range(3)]
    assert not np.array_equal(labels[0], labels[1])
    assert not np.array_equal(labels[1], labels[2])


def test_another_seed_gives_another_patient() -> None:
    grid = axial_grid((4, 4, 6))
    first, second = (phantom_on_grid(grid, 0, seed)[1].array for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_orientation_spacing_and_shape_vary(cases: list[tuple[Volume, Volume]]) -> None:
    grids = [image.grid for image, _ in cases]
    assert len({grid.orientation for grid in grids}) >= 3
    assert len({grid.spacing_mm for grid in grids}) == CASES
    assert len({grid.shape for grid in grids}) == CASES
    for x, y, z in (grid.spacing_mm for grid in grids):
        assert 1.8 <= x == y <= 2.6
        assert 3 <= z <= 6


def test_the_spleen_lies_on_the_patients_left(cases: list[tuple[Volume, Volume]]) -> None:
    for _, label in cases:
        assert world_mm(label)[:, 0].max() < 0


def test_the_liver_lies_on_the_patients_right(cases: list[tuple[Volume, Volume]]) -> None:
    for image, _ in cases:
        voxel = np.linalg.inv(image.affine) @ (85, 5, 0, 1)
        x, y, z = np.rint(voxel[:3]).astype(int)
        assert 30 < np.median(image.array[0, x - 3 : x + 4, y - 3 : y + 4, z]) < 140


def test_a_whole_spleen_has_a_plausible_volume(cases: list[tuple[Volume, Volume]]) -> None:
    volumes = [millilitres(label) for _, label in cases if not is_cut(label)]
    assert len(volumes) >= CASES * 0.6
    assert min(volumes) > 90
    assert max(volumes) < 480
    assert max(volumes) > 1.5 * min(volumes)


def test_some_spleens_are_cut_by_the_end_of_the_scan_but_most_are_whole(
    cases: list[tuple[Volume, Volume]],
) -> None:
    assert 1 <= sum(is_cut(label) for _, label in cases) <= 3


def test_enhancement_of_the_spleen_varies_within_plausible_hu(cases: list[tuple[Volume, Volume]]) -> None:
    means = [float(image.array[label.array == 1].mean()) for image, label in cases]
    assert min(means) > 30
    assert max(means) < 140
    assert max(means) - min(means) > 25


def test_air_fat_soft_tissue_and_bone_are_all_there(cases: list[tuple[Volume, Volume]]) -> None:
    for image, _ in cases:
        shares = [
            np.mean((image.array > low) & (image.array < high))
            for low, high in ((-1025, -700), (-160, -60), (0, 150), (250, 900))
        ]
        assert min(shares) > 0.005


def share_alike_around_spleen(image: np.ndarray, spleen: np.ndarray, within_hu: float) -> float:
    rim = np.logical_or.reduce([np.roll(spleen, step, axis) for step in (1, -1) for axis in (0, 1)]) & ~spleen
    return float(np.mean(np.abs(image[rim] - np.median(image[spleen])) < within_hu))


def test_the_spleen_touches_tissue_of_about_its_own_hu(cases: list[tuple[Volume, Volume]]) -> None:
    shares = [share_alike_around_spleen(image.array[0], label.array[0] == 1, 40) for image, label in cases]
    assert min(shares) > 0.05
    assert np.mean(shares) > 0.2


def test_two_grids_show_the_same_spleen() -> None:
    fine, coarse = (phantom_on_grid(axial_grid(spacing), 4)[1] for spacing in ((2, 2, 2.5), (3, 3, 5)))
    assert millilitres(coarse) == pytest.approx(millilitres(fine), rel=0.03)
    assert world_mm(coarse).mean(axis=0) == pytest.approx(world_mm(fine).mean(axis=0), abs=1)


def test_orientation_of_the_grid_does_not_move_the_patient() -> None:
    ras = axial_grid((4, 4, 6))
    lpi = Reorientation.between("RAS", "LPI").apply_to_grid(ras)
    for stored, expected in zip(phantom_on_grid(lpi, 2), phantom_on_grid(ras, 2), strict=True):
        assert stored.grid.orientation == "LPI"
        assert np.array_equal(in_ras(stored).array, expected.array)


def test_an_oblique_grid_is_refused() -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.1
    with pytest.raises(SeglineError, match="oblique"):
        phantom_on_grid(Grid((8, 8, 8), affine), 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(SeglineError, match="seed -1"):
        phantom_case(0, seed=-1)


def test_every_file_named_in_the_index_is_there_and_readable(folder: Path) -> None:
    index = json.loads((folder / "dataset.json").read_text())
    assert index["numTraining"] == len(index["training"]) == 2
    assert index["training"][0] == {
        "image": "./imagesTr/phantom_000.nii.gz",
        "label": "./labelsTr/phantom_000.nii.gz",
    }
    for case in index["training"]:
        image, label = read_volume(folder / case["image"]), read_volume(folder / case["label"])
        assert label.grid.matches(image.grid)
        assert label.array.any()


def test_the_index_follows_the_decathlon(folder: Path) -> None:
    index = json.loads((folder / "dataset.json").read_text())
    assert index["name"] == "Phantom"
    assert index["modality"] == {"0": "CT"}
    assert index["labels"] == {"0": "background", "1": "spleen"}
    assert index["tensorImageSize"] == "3D"
    assert index["numTest"] == 0
    assert index["test"] == []
    assert index["licence"] and index["release"] and index["reference"]


def test_a_written_case_is_the_drawn_one(folder: Path, cases: list[tuple[Volume, Volume]]) -> None:
    stored = read_volume(folder / "imagesTr" / "phantom_001.nii.gz")
    assert np.array_equal(stored.array, cases[1][0].array)
    assert stored.grid.matches(cases[1][0].grid)


def test_writing_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path / "again", cases=2)
    written = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(written) == 5
    for path in written:
        assert (tmp_path / "again" / path).read_bytes() == (folder / path).read_bytes()


def test_a_folder_with_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SeglineError, match="exists already"):
        write_phantom(tmp_path, cases=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_no_cases_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match="at least 1"):
        write_phantom(tmp_path / "empty", cases=0)
