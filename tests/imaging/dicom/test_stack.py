"""Slices make a volume only if they are one even, parallel stack; else they are told for what they are."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from segline.common.errors import SeglineError
from segline.imaging.dicom.series import read_series
from segline.imaging.files import read_volume, write_volume
from segline.imaging.geometry import LPS_TO_RAS

from .written import AXIAL, dataset_of, numbered, write_series, write_slice


def itk_points(folder: Path, indices: np.ndarray) -> np.ndarray:
    """Where SimpleITK puts voxels ``(n, 3)`` of a series, RAS mm; directions not forced to be orthogonal."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    reader.SetForceOrthogonalDirection(False)
    image = reader.Execute()
    points = [image.TransformContinuousIndexToPhysicalPoint([float(i) for i in index]) for index in indices]
    return np.array(points) * [-1, -1, 1]


def ours(folder: Path, indices: np.ndarray) -> np.ndarray:
    affine = read_series(folder).affine
    return indices @ affine[:3, :3].T + affine[:3, 3]


CORNERS = np.array([[0, 0, 0], [7, 0, 0], [0, 5, 0], [0, 0, 10], [7, 5, 10], [3.5, 2.5, 4]])


class TestTilt:
    def tilted(self, folder: Path, degrees: float) -> Path:
        """Slices of 40x30 along z, their rows in a plane tilted about x; a marker in the last one."""
        angle = np.radians(degrees)
        stored = np.zeros((11, 30, 40), np.int16)
        stored[10, 10:14, 20:24] = 1000
        for number, image in enumerate(stored):
            write_slice(
                folder,
                image,
                (-30, -30, 5 * number - 25),
                number,
                ImageOrientationPatient=[1, 0, 0, 0, float(np.cos(angle)), float(np.sin(angle))],
            )
        return folder

    @pytest.mark.parametrize("degrees", [20, 5, -12])
    def test_a_tilted_series_lies_where_itk_puts_it(self, tmp_path, degrees):
        folder = self.tilted(tmp_path / "ct", degrees)
        np.testing.assert_allclose(ours(folder, CORNERS), itk_points(folder, CORNERS), atol=1e-3)

    def test_the_marker_is_where_it_was_seen(self, tmp_path):
        volume = read_series(self.tilted(tmp_path / "ct", 20))
        centre = np.argwhere(volume.array[0] == 1000).mean(axis=0)
        place = volume.affine[:3, :3] @ centre + volume.affine[:3, 3]
        # columns 20 to 23, rows 10 to 13 of the last slice: 21.5 and 11.5 steps from its first pixel
        angle = np.radians(20)
        lps = [-30 + 21.5 * 1.5, -30 + 11.5 * 2 * np.cos(angle), 25 + 11.5 * 2 * np.sin(angle)]
        np.testing.assert_allclose(place, np.array(lps) * [-1, -1, 1], atol=1e-3)

    def test_a_mask_lies_on_the_same_sheared_grid(self, tmp_path):
        volume = read_series(self.tilted(tmp_path / "ct", 20))
        write_volume(tmp_path / "mask.nii.gz", volume.with_array((volume.array > 0).astype(np.uint8)))
        mask = read_volume(tmp_path / "mask.nii.gz")
        assert mask.grid.distance_mm(volume.grid) < 1e-3

    def test_itk_opens_such_a_mask_as_nrrd_where_it_opens_the_series(self, tmp_path):
        folder = self.tilted(tmp_path / "ct", 20)
        volume = read_series(folder)
        write_volume(tmp_path / "mask.nrrd", volume.with_array((volume.array > 0).astype(np.uint8)))
        mask = SimpleITK.ReadImage(str(tmp_path / "mask.nrrd"))
        points = [mask.TransformContinuousIndexToPhysicalPoint(index.tolist()) for index in CORNERS]
        np.testing.assert_allclose(np.array(points) * [-1, -1, 1], itk_points(folder, CORNERS), atol=1e-3)
        np.testing.assert_array_equal(read_volume(tmp_path / "mask.nrrd").array > 0, volume.array > 0)

    def test_the_tilt_is_told(self, tmp_path):
        (remark,) = read_series(self.tilted(tmp_path / "ct", 20)).remarks
        assert "tilted by 20.0 degrees" in remark

    def test_an_oblique_series_is_not_tilted(self, tmp_path):
        row, column = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, -1.0])
        normal = np.cross(row, column)
        for number, image in enumerate(numbered(11)):
            position = np.array([10, 20, 30]) + 5 * number * normal
            write_slice(tmp_path / "mr", image, position, number, ImageOrientationPatient=[*row, *column])
        assert not read_series(tmp_path / "mr").remarks
        np.testing.assert_allclose(
            ours(tmp_path / "mr", CORNERS), itk_points(tmp_path / "mr", CORNERS), atol=1e-3
        )


def test_slices_are_sorted_by_place_and_not_by_name(tmp_path):
    stored = numbered(5)
    for number, image in enumerate(stored):
        write_slice(tmp_path, image, (0, 0, -5.0 * number), number)
    volume = read_series(tmp_path)
    np.testing.assert_array_equal(volume.array[0], stored[::-1].transpose(2, 1, 0))
    np.testing.assert_allclose((LPS_TO_RAS @ volume.affine)[:3, 3], [0, 0, -20])


class TestWhatIsNoStack:
    def refusal(self, folder: Path) -> str:
        with pytest.raises(SeglineError) as refused:
            read_series(folder)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    def test_a_cine(self, tmp_path):
        for number, image in enumerate(numbered(20)):
            write_slice(tmp_path, image, (0, 0, 0), number)
        assert "20 images at one position, a cine or a series in time" in self.refusal(tmp_path)

    def test_two_phases(self, tmp_path):
        for number, image in enumerate(numbered(10)):
            write_slice(tmp_path, image, (0, 0, 5 * (number // 2)), number)
        assert "2 images at each of 5 positions, such as IM_0000.dcm and IM_0001.dcm: phases" in self.refusal(
            tmp_path
        )

    def test_duplicates(self, tmp_path):
        write_series(tmp_path, numbered(5))
        write_slice(tmp_path, numbered(5)[2], (-30, -30, -15), 90)
        assert "1 of 5 positions have several images, such as IM_0002.dcm and IM_0090.dcm: duplicates" in (
            self.refusal(tmp_path)
        )

    def test_a_localizer_within_the_series(self, tmp_path):
        write_series(tmp_path, numbered(5))
        plane = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]
        kind = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        write_slice(tmp_path, numbered(1)[0], (0, 0, 0), 90, ImageOrientationPatient=plane, ImageType=kind)
        assert "1 of 6 images lie in another plane, such as IM_0090.dcm, a localizer" in self.refusal(
            tmp_path
        )

    def test_a_scout_of_two_views(self, tmp_path):
        for number, plane in enumerate(([1.0, 0, 0, 0, 0, -1.0], [0, 1.0, 0, 0, 0, -1.0])):
            write_slice(tmp_path, numbered(1)[0], (0, 0, 0), number, ImageOrientationPatient=plane)
        assert "1 of 2 images lie in another plane" in self.refusal(tmp_path)

    def test_a_localizer_of_another_size(self, tmp_path):
        write_series(tmp_path, numbered(5))
        kind = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        write_slice(tmp_path, numbered(1, 12, 4)[0], (0, 0, 99), 90, ImageType=kind)
        assert "IM_0090.dcm with 4x12, most with 8x6: a localizer" in self.refusal(tmp_path)

    def test_pixels_of_two_sizes(self, tmp_path):
        write_series(tmp_path, numbered(5))
        write_slice(tmp_path, numbered(1)[0], (-30, -30, 0), 90, PixelSpacing=[1.0, 1.0])
        assert "IM_0090.dcm has pixels of 1x1 mm, others of 1.5x2 mm" in self.refusal(tmp_path)

    def test_another_frame_of_reference(self, tmp_path):
        write_series(tmp_path, numbered(5))
        write_slice(tmp_path, numbered(1)[0], (-30, -30, 0), 90, FrameOfReferenceUID="1.2.3")
        assert "IM_0090.dcm with 1.2.3" in self.refusal(tmp_path)

    def test_units_that_differ(self, tmp_path):
        write_series(tmp_path, numbered(5), RescaleType="HU")
        write_slice(tmp_path, numbered(1)[0], (-30, -30, 0), 90, RescaleType="US")
        assert "images of more than one unit, IM_0090.dcm with US, most with HU" in self.refusal(tmp_path)

    def test_a_slice_moved_sideways(self, tmp_path):
        for number, image in enumerate(numbered(5)):
            write_slice(tmp_path, image, (0.3 * (number == 2), 0, 5 * number), number)
        assert "slices are missing or uneven" in self.refusal(tmp_path)

    def test_steps_that_grow_little_by_little(self, tmp_path):
        for number, image in enumerate(numbered(20)):
            write_slice(tmp_path, image, (0, 0, 5 * number + 0.005 * number**2), number)
        assert "off the line of the others" in self.refusal(tmp_path) or "uneven" in self.refusal(tmp_path)

    def test_one_slice(self, tmp_path):
        write_series(tmp_path, numbered(1))
        assert "a single slice" in self.refusal(tmp_path)

    @pytest.mark.parametrize(
        ("attribute", "value", "told"),
        [
            ("PixelSpacing", None, "no PixelSpacing"),
            ("ImagePositionPatient", None, "no ImagePositionPatient"),
            ("ImageOrientationPatient", None, "no ImageOrientationPatient"),
            ("PixelSpacing", [0.0, 1.0], "PixelSpacing is 0x1 mm"),
            ("ImageOrientationPatient", [1.0, 0, 0, 1.0, 0, 0], "no two directions at right angles"),
            ("RescaleSlope", 0, "slope 0 and intercept 0 give no values"),
        ],
    )
    def test_an_attribute_that_is_missing_or_means_nothing(self, tmp_path, attribute, value, told):
        write_series(tmp_path, numbered(5), **{attribute: value})
        assert told in self.refusal(tmp_path)

    def test_colours(self, tmp_path):
        for number in range(3):
            stored = np.zeros((6, 8, 3), np.uint8)
            image = dataset_of(stored[..., 0], (0, 0, number), number, PixelData=stored.tobytes())
            image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
            image.save_as(tmp_path / f"{number}.dcm")
        assert "a colour image (RGB)" in self.refusal(tmp_path)


def test_axial_is_what_others_read(tmp_path):
    write_series(tmp_path, numbered(11), ImageOrientationPatient=AXIAL)
    np.testing.assert_allclose(ours(tmp_path, CORNERS), itk_points(tmp_path, CORNERS), atol=1e-3)
