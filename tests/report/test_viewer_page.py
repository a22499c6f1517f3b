"""``viewer.html``: what is packed of a case, and the page in a browser that reaches nothing else."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from segline.report import viewer_page, write_report
from segline.report.html.document import assembled
from segline.report.pictures.overlays import EXTRA, LABEL_COLORS, MISSED, CaseVolumes
from segline.report.pictures.packing import packed
from segline.runs.run import Run

from ..browser import find_chromium, one_page, painted, pixels
from .test_report import finish, start, task, write_dataset

pytestmark = pytest.mark.heavy

PLENTY = 10_000_000


def volumes(dtype: Any = np.int16, shape: tuple[int, int, int] = (64, 60, 40)) -> CaseVolumes:
    """Noise about a box that is predicted one voxel too far to the right; at 2 mm, 3 mm along the body."""
    image = np.random.default_rng(0).normal(0, 300, shape).astype(dtype)
    truth, prediction = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    truth[30:36, 30:36, 20:24] = 1
    prediction[31:37, 30:36, 20:24] = 1
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = -10, -20, 30
    return CaseVolumes(image, truth, prediction, (2.0, 2.0, 3.0), affine)


def opened(content: bytes) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(content))


def test_a_small_case_is_packed_voxel_for_voxel() -> None:
    given = volumes()
    files = packed(given, PLENTY)
    assert files.note == ""
    for content, array in zip(
        (files.image, files.truth, files.prediction),
        (given.image, given.truth, given.prediction),
        strict=True,
    ):
        image = opened(content)
        assert np.array_equal(np.asanyarray(image.dataobj), array)
        assert np.allclose(image.affine, given.affine)


def test_numbers_that_are_not_whole_are_kept_to_16_bits_of_their_range() -> None:
    given = volumes(np.float32)
    image = opened(packed(given, PLENTY).image)
    assert image.get_data_dtype() == np.int16
    assert np.abs(image.get_fdata() - given.image).max() <= np.ptp(given.image) / 65000


def test_errors_tell_missed_voxels_from_added_ones() -> None:
    errors = np.asanyarray(opened(packed(volumes(), PLENTY).errors).dataobj)
    assert errors[30, 32, 22] == 2 and errors[36, 32, 22] == 3 and errors[33, 32, 22] == 1
    assert np.bincount(errors.ravel())[1:].tolist() == [5 * 6 * 4, 6 * 4, 6 * 4]


def test_a_large_case_is_cut_around_its_masks_where_it_lay() -> None:
    given = volumes(shape=(128, 120, 80))
    files = packed(given, packed(given, PLENTY).size // 3)
    assert files.note == "cut from 128x120x80 to 37x36x24 voxels around the masks"
    truth = opened(files.truth)
    inside = nib.affines.apply_affine(truth.affine, np.argwhere(np.asanyarray(truth.dataobj)))
    assert np.allclose(inside, nib.affines.apply_affine(given.affine, np.argwhere(given.truth)))


def test_a_case_that_is_large_even_so_is_made_coarser_as_far_as_is_needed() -> None:
    given = volumes()
    given.truth[2:-2, 2:-2, 2:-2] = 1
    files = packed(given, packed(given, PLENTY).size // 6)
    assert files.note == "made coarser, to 4x4x3 mm"
    image, truth = opened(files.image), opened(files.truth)
    assert image.shape == truth.shape == (32, 30, 40) and np.allclose(truth.affine, image.affine)
    ml = {np.asanyarray(truth.dataobj).sum() * abs(np.linalg.det(truth.affine)) / 1000}
    assert ml.pop() == pytest.approx(given.truth.sum() * 12 / 1000, rel=0.1)


def test_no_case_is_made_coarser_without_end() -> None:
    assert opened(packed(volumes(), 1).image).shape[2] >= 12


def test_data_in_a_page_end_no_script() -> None:
    whole = assembled("t", [], "", ["'</script><b>'"])
    assert whole.count("</script") == 1


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with three test cases, and its report."""
    find_chromium()
    folder = tmp_path_factory.mktemp("viewer")
    asked = task()
    ended = finish(start(folder / "run", asked), write_dataset(folder / "Blocks"), asked)
    write_report(ended)
    return ended


def test_the_page_opens_from_a_file_without_any_network(browser: Any, run: Run) -> None:
    with one_page(browser, offline=True) as page:
        page.goto((run.folder / "viewer.html").as_uri())
        page.locator("#labels li").nth(1).wait_for()
        assert page.inner_text("#about").startswith("Worst test case: case_f, Dice")
        names = [page.locator("#labels span").nth(at).inner_text() for at in range(2)]
        assert names == ["anterior", "posterior"]
        assert min(painted(pixels(page), colour) for colour in LABEL_COLORS[:2]) > 200
        page.uncheck("#labels li:nth-child(1) input")
        seen = pixels(page)
        assert painted(seen, LABEL_COLORS[0]) == 0 and painted(seen, LABEL_COLORS[1]) > 200


def test_the_page_shows_each_case_with_its_errors(browser: Any, run: Run) -> None:
    with one_page(browser, offline=True) as page:
        page.goto((run.folder / "viewer.html").as_uri())
        page.locator("#labels li").nth(1).wait_for()
        page.check("input[value=errors]")
        page.locator("#labels li").nth(3).wait_for()
        assert min(painted(pixels(page), colour) for colour in (MISSED, EXTRA)) > 100
        page.check("input[name=case][value='2']")
        page.get_by_text("Best test case: case_d").wait_for()
        page.check("input[value=none]")
        page.wait_for_function("document.querySelectorAll('#labels li').length === 0")
        assert painted(pixels(page), MISSED) == 0


def test_the_page_begins_with_the_plans_window(run: Run) -> None:
    html = (run.folder / "viewer.html").read_text()
    told = json.loads(re.findall(r'id="cases" type="application/json">(.*?)</script>', html)[0])
    low, high = told["cases"][0]["range"]
    assert low < high and told["cases"][0]["note"] == ""


def test_the_report_names_the_page(run: Run) -> None:
    assert '<a href="viewer.html">viewer.html</a>' in (run.folder / "report.html").read_text()


def test_without_niivue_the_report_says_why_there_is_no_page(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer_page, "_NIIVUE", "viewer/niivue/absent.js")
    write_report(run)
    assert not (run.folder / "viewer.html").exists()
    report = (run.folder / "report.html").read_text()
    assert "No viewer.html: NiiVue is not in this installation; `make niivue` in a checkout" in report


def test_cases_that_are_gone_leave_no_page(run: Run, tmp_path: Path) -> None:
    masks = sorted((run.folder / "predictions/pytorch").glob("*.nii.gz"))
    for mask in masks:
        mask.rename(tmp_path / mask.name)
    write_report(run)
    for mask in masks:
        (tmp_path / mask.name).rename(mask)
    assert not (run.folder / "viewer.html").exists()
    assert "No viewer.html: no case can be read any more" in (run.folder / "report.html").read_text()
