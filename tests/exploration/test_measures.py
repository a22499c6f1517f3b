"""What is measured of a case is what a pencil gives, in the patient's axes."""

from pathlib import Path

import numpy as np
import pytest

from segline.data.verification import verify
from segline.exploration.measures import OUTSIDE, CaseMeasures, measure_case
from segline.imaging.geometry import Reorientation
from segline.imaging.volume import Volume

from .bodies import SHAPE, Body, write_bodies


def measured(root: Path, samples: int = 5000) -> CaseMeasures:
    manifest = verify(root)
    return measure_case(manifest, manifest.cases[0], samples)


def flipped(body: Body) -> None:
    turn = Reorientation.between("RAS", "LPI")
    grid = turn.apply_to_grid(Volume(body.label[None], body.affine).grid)
    body.image, body.label, body.affine = turn.apply(body.image), turn.apply(body.label), grid.affine


def test_a_label_lies_where_it_lies_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    for each, folder in ((None, "as_is"), (flipped, "flipped")):
        label = measured(write_bodies(tmp_path / folder, each=each, cases=1)).labels[2]
        assert label.centre == pytest.approx((8.5 / 28, 11.5 / 26, 9 / 20))
        assert (label.components, label.largest_share, label.sides) == (1, 1.0, ())


def test_parts_sides_and_neighbours_are_counted(tmp_path: Path) -> None:
    def change(body: Body) -> None:
        body.label[:] = 0
        body.label[0:4, 8, 8] = 1
        body.label[10:22, 8, 19] = 1
        body.label[4, 8, 8] = 2

    for each, folder in ((change, "as_is"), (lambda body: (change(body), flipped(body)), "flipped")):
        case = measured(write_bodies(tmp_path / folder, each=each, cases=1))
        assert case.labels[1].components == 2
        assert case.labels[1].largest_share == 12 / 16
        assert sorted(case.labels[1].sides) == ["left", "upper"]
        assert case.neighbours == ((1, 2),)


def test_intensities_are_told_apart_by_label(tmp_path: Path) -> None:
    case = measured(write_bodies(tmp_path, cases=1))
    assert float(np.median(case.samples[1])) == pytest.approx(100, abs=3)
    assert float(np.median(case.samples[2])) == pytest.approx(130, abs=3)
    assert case.samples[OUTSIDE].min() < -1000
    assert case.samples[1].shape == (1, 7 * 8 * 7)


def test_samples_are_few_where_few_are_asked_for(tmp_path: Path) -> None:
    case = measured(write_bodies(tmp_path, cases=1), samples=50)
    assert all(20 <= some.shape[1] <= 60 for some in case.samples.values())


def test_percentiles_are_of_values_that_are_there(tmp_path: Path) -> None:
    case = measured(write_bodies(tmp_path, cases=1))
    (channel,) = case.channels
    body = Body(0)
    assert (channel.lowest, channel.highest) == (body.image.min(), body.image.max())
    assert channel.median == np.percentile(body.image, 50, method="nearest")
    assert channel.same_share == np.count_nonzero(body.image == channel.median) / np.prod(SHAPE)
