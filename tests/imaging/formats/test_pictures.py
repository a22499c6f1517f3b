"""Pictures, JPEG or PNG, as volumes of one slice."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from segline.common.errors import SeglineError
from segline.imaging.files import read_volume
from segline.imaging.volume import Volume

PIXELS = np.arange(12 * 9, dtype=np.uint8).reshape(9, 12)
"""Nine rows of twelve."""


@pytest.mark.parametrize("suffix", ["png", "jpeg"])
def test_a_grey_picture_is_one_slice_of_columns_and_rows(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PIXELS).save(path, quality=100)
    volume = read_volume(path)
    assert volume.array.shape == (1, 12, 9, 1) and volume.array.dtype == np.uint8
    assert volume.grid.spacing_mm == (1, 1, 1) and volume.grid.orientation == "RAS"
    read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    assert np.abs(volume.array[0, ..., 0].T.astype(int) - read.astype(int)).max() <= (
        0 if suffix == "png" else 1
    )


def test_colours_are_channels_and_transparency_is_left_out(tmp_path: Path) -> None:
    rgba = np.stack([PIXELS, PIXELS + 1, PIXELS + 2, PIXELS], axis=-1)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    assert volume.array.shape == (3, 12, 9, 1)
    np.testing.assert_array_equal(volume.array[1, ..., 0].T, PIXELS + 1)


def test_sixteen_bits_stay(tmp_path: Path) -> None:
    Image.fromarray(PIXELS.astype(np.uint16) * 500).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_volume(tmp_path / "a.png").array[0, ..., 0].T, PIXELS.astype(int) * 500
    )


def test_a_palette_means_its_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((4, 4), np.uint8), "P")
    picture.putpalette([10, 20, 30])
    picture.save(tmp_path / "a.png")
    assert read_volume(tmp_path / "a.png").array[:, 0, 0, 0].tolist() == [10, 20, 30]


def test_a_damaged_one_and_one_without_bounds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((2000, 2000), np.uint8)).save(path)
    monkeypatch.setenv("SEGLINE_LARGEST_GB", "0.01")
    with pytest.raises(SeglineError, match=r"2000x2000 pixels would take 0.048 GB"):
        read_volume(path)
    monkeypatch.delenv("SEGLINE_LARGEST_GB")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SeglineError, match=r"a.png: not a readable picture .*fetch the file again"):
        read_volume(path)


def test_only_the_last_axis_may_be_one_slice() -> None:
    assert Volume.of_file(np.zeros((4, 5), np.uint8), np.eye(4), "a").grid.shape == (4, 5, 1)
    with pytest.raises(SeglineError, match="this file is 1x5x4"):
        Volume.of_file(np.zeros((1, 5, 4), np.uint8), np.eye(4), "a")
