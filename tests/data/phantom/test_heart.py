"""The made-up chest in MR: its geometry, contrast and noise, and that it is the same every time."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from segline.common.digests import sha256_of_file
from segline.common.errors import SeglineError
from segline.data.phantom.heart import SPACING_MM, heart_case, write_heart_phantom
from segline.data.verification import verify
from segline.imaging.geometry import Reorientation
from segline.imaging.volume import Volume

pytestmark = pytest.mark.heavy

CASES = 6


@pytest.fixture(scope="module")
def cases() -> list[tuple[Volume, Volume]]:
    return [heart_case(index, scale=0.3) for index in range(CASES)]


def test_at_full_size_it_has_the_grid_of_task02() -> None:
    image, label = heart_case(3, scale=1)
    in_ras = Reorientation.between(image.grid.orientation, "RAS").apply(image.array)
    assert in_ras.shape[1:3] in ((320, 320), (288, 288), (256, 256)) and 95 <= in_ras.shape[3] <= 125
    assert sorted(image.grid.spacing_mm) == pytest.approx(sorted(SPACING_MM))
    assert label.array.shape == image.array.shape and (label.grid.affine == image.grid.affine).all()


def test_sizes_and_orientations_vary(cases: list[tuple[Volume, Volume]]) -> None:
    assert len({image.array.shape for image, _ in cases}) > 3
    assert len({image.grid.orientation for image, _ in cases}) > 2


def test_there_is_one_atrium_of_a_heart_s_size_within_the_volume(cases: list[tuple[Volume, Volume]]) -> None:
    for image, label in cases:
        assert (image.array.dtype, label.array.dtype) == (np.int16, np.uint8)
        assert np.unique(label.array).tolist() == [0, 1]
        parts = np.bincount(ndimage.label(label.array[0])[0].ravel())[1:]
        assert sorted(parts)[:-1] in ([], [1]), "a voxel of a vein at most"
        assert 20 < label.array.sum() * np.prod(label.grid.spacing_mm) / 1000 < 250
        assert not any(np.take(label.array[0], (0, -1), axis=axis).any() for axis in range(3))


def test_the_atrium_is_brighter_than_its_wall_and_no_brighter_than_other_blood(
    cases: list[tuple[Volume, Volume]],
) -> None:
    for image, label in cases:
        blood, atrium = image.array[0], label.array[0] == 1
        inside = ndimage.binary_erosion(atrium, iterations=2)
        near, far = (ndimage.binary_dilation(atrium, iterations=steps) for steps in (2, 4))
        assert np.median(blood[inside]) > 1.3 * np.median(blood[far & ~near])
        assert np.count_nonzero(blood > np.median(blood[inside])) > 2 * np.count_nonzero(inside)


def test_air_has_the_noise_of_a_magnitude_image(cases: list[tuple[Volume, Volume]]) -> None:
    """Rayleigh's mean to its standard deviation is 1.91."""
    for image, _ in cases:
        corner = image.array[0][:6, :6].astype(float) if min(image.array.shape[1:]) > 6 else image.array
        assert corner.min() >= 0
        assert corner.mean() / corner.std() == pytest.approx(1.91, abs=0.35)


def test_the_gain_is_another_in_each_case(cases: list[tuple[Volume, Volume]]) -> None:
    signals = [float(np.median(image.array[label.array == 1])) for image, label in cases]
    assert max(signals) > 1.3 * min(signals)


def test_the_bytes_are_the_same_every_time(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        write_heart_phantom(folder, 2, seed=5, scale=0.1)
    names = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*.*"))
    assert len(names) == 5
    assert [sha256_of_file(folders[0] / n) for n in names] == [sha256_of_file(folders[1] / n) for n in names]
    assert verify(folders[0]).digest == verify(folders[1]).digest


def test_another_seed_or_case_is_another_patient() -> None:
    volumes = {heart_case(index, seed, 0.1)[0].array.tobytes() for index, seed in ((0, 0), (0, 1), (1, 0))}
    assert len(volumes) == 3


@pytest.mark.parametrize(("index", "seed", "scale"), [(-1, 0, 0.4), (0, -1, 0.4), (0, 0, 0.05), (0, 0, 2)])
def test_what_cannot_be_painted_is_refused_in_one_line(index: int, seed: int, scale: float) -> None:
    with pytest.raises(SeglineError, match=r"phantom-heart: index .* a scale of 0\.1 to 1$"):
        heart_case(index, seed, scale)
