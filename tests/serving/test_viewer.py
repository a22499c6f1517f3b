"""The server's page, in a browser: a scan is dropped, shown, predicted, and its mask laid over it."""

import base64
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segline.backends import open_backend
from segline.common.errors import SeglineError
from segline.data.manifest import Manifest
from segline.imaging.files import read_volume, write_volume
from segline.imaging.volume import Volume
from segline.inference.masks import MASKS
from segline.inference.predictor import Predictor
from segline.model.package import Model
from segline.report.pictures.overlays import LABEL_COLORS
from segline.serving.viewer import page_files

from ..browser import file_of, one_page, painted, pixels
from .server import Server
from .stand_in import Answerer, StandIn, stand_in

Serve = Callable[..., AbstractContextManager[StandIn]]
SPLEEN = {"name": "phantom@champion", "version": "phantom/3", "task": "phantom", "kind": "segmentation"}
ONE_CHANNEL = {**SPLEEN, "channels": ["CT"], "labels": {"1": "spleen"}}
TRUSTED = {"trusted": True, "distance": 0.4, "reasons": []}
GREEN = LABEL_COLORS[0]


@pytest.fixture(scope="module")
def predictor(tiny_model: Model) -> Predictor:
    return Predictor(tiny_model.plan, open_backend("openvino", tiny_model))


@pytest.fixture(scope="module")
def serve(predictor: Predictor) -> Serve:
    """A server of the tiny model, or of other models with an answerer."""

    def answer(volume: Volume, _: Path) -> tuple[Volume, dict[str, Any]]:
        mask = predictor(volume)
        figures = MASKS.figures(predictor.plan, mask)
        rest = {"remarks": [], "trust": TRUSTED, "model": "phantom/3", "seconds": {"network": 0.25}}
        return mask, {**figures, **rest}

    labels = {str(value): name for value, name in MASKS.labels(predictor.plan).items()}
    tiny = [{**ONE_CHANNEL, "labels": labels}]

    def begin(
        models: list[dict[str, Any]] = tiny, answerer: Answerer = answer, **settings: str
    ) -> AbstractContextManager[StandIn]:
        return stand_in(models, answerer, **settings)

    return begin


@pytest.fixture(scope="module")
def scan(phantoms: Manifest) -> Path:
    """A file as the scanner left it, in another orientation than the model's."""
    return Path(phantoms.root) / phantoms.case("phantom_004").images[0].path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A bright box in noise, of no particular unit."""
    noise = np.random.default_rng(0).normal(100, 10, (24, 20, 12)).astype(np.float32)
    noise[6:16, 5:12, 3:9] += 100
    write_volume(tmp_path / "patient name.nii.gz", Volume(noise[None], np.diag([2.0, 2.0, 3.0, 1.0])))
    return tmp_path / "patient name.nii.gz"


def boxed(volume: Volume, _: Path) -> tuple[Volume, dict[str, Any]]:
    """An answer that needs no network: what is bright."""
    found = (volume.array[:1] > 150).astype(np.uint8)
    return volume.with_array(found), {"volumes_ml": {"spleen": 5.25}, "model": "box/1", "trust": None}


def drop(page: Any, *paths: Path) -> None:
    """As a hand does it: the files' bytes in a drop event."""
    files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in paths]
    page.evaluate(
        """(files) => {
          const transfer = new DataTransfer();
          for (const [name, text] of files) {
            transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
          }
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
        }""",
        files,
    )


def touch(page: Any, x: int, y: int) -> None:
    """A finger on the picture, for as long as fingers are."""
    page.locator("#canvas").scroll_into_view_if_needed()
    corner = page.locator("#canvas").bounding_box()
    session = page.context.new_cdp_session(page)
    point = {"x": corner["x"] + x, "y": corner["y"] + y}
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    page.wait_for_timeout(150)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def open_page(page: Any, served: StandIn | Server) -> None:
    page.goto(f"{served.uri}/")
    page.get_by_text("Model ").first.wait_for()


def predict(page: Any) -> None:
    page.click("#send")
    page.locator("#answer, #error").locator("visible=true").first.wait_for()


def test_a_dropped_scan_is_seen_predicted_covered_by_its_mask_and_downloaded(
    browser: Any, tiny_model: Model, scan: Path, predictor: Predictor, tmp_path: Path
) -> None:
    expected = predictor(read_volume(scan))
    # a server of its own: the page's answers are kept there
    with Server(tiny_model.folder, tmp_path) as server, one_page(browser) as page:
        open_page(page, server)
        assert pixels(page, "#canvas").std() < 40
        drop(page, scan)
        page.locator("#bar").wait_for()
        bare = pixels(page)
        assert bare.std() > 30 and painted(bare, GREEN) == 0
        assert (page.input_value("#level"), page.input_value("#width")) == ("40", "400")
        predict(page)
        covered = painted(pixels(page), GREEN)
        assert covered > 500
        ml = MASKS.figures(predictor.plan, expected)["volumes_ml"]["spleen"]
        assert float(re.findall(r"([\d.]+) ml", page.inner_text("#answer"))[0]) == pytest.approx(ml, rel=0.01)
        page.uncheck("#answer .labels input")
        assert painted(pixels(page), GREEN) == 0
        page.check("#answer .labels input")
        assert painted(pixels(page), GREEN) == pytest.approx(covered, rel=0.02)
        with page.expect_download() as download:
            page.click("#download")
        assert download.value.suggested_filename == f"{scan.name.removesuffix('.nii.gz')}_mask.nii.gz"
        download.value.save_as(tmp_path / "mask.nii.gz")
    mask = read_volume(tmp_path / "mask.nii.gz")
    assert np.array_equal(mask.array, expected.array) and np.allclose(mask.affine, expected.affine)


def test_slices_window_and_opacity_follow_keys_and_fields(browser: Any, serve: Serve, small: Path) -> None:
    with serve([ONE_CHANNEL], boxed) as served, one_page(browser) as page:
        open_page(page, served)
        page.set_input_files("#files", file_of(small))
        page.locator("#bar").wait_for()
        page.focus("#canvas")
        page.keyboard.press("ArrowUp")
        assert page.inner_text("#slice-number") == "axial 8 of 12"
        page.check("input[value=sagittal]")
        page.fill("#slice", "20")
        assert page.inner_text("#slice-number") == "sagittal 20 of 24"
        usual = pixels(page).mean()
        page.fill("#level", "400")
        page.press("#level", "Enter")
        assert pixels(page).mean() < 0.8 * usual
        page.select_option("#preset", "as opened")
        page.check("input[value=all]")
        predict(page)
        strong = painted(pixels(page), GREEN)
        page.fill("#opacity", "0")
        assert strong > 500 > painted(pixels(page), GREEN)


def test_no_name_of_a_file_leaves_the_browser(browser: Any, serve: Serve, small: Path) -> None:
    with serve([ONE_CHANNEL], boxed) as served, one_page(browser) as page:
        open_page(page, served)
        drop(page, small)
        predict(page)
        assert served.headers[0]["x-filename"] == "volume.nii.gz"
        assert not any("patient" in value for value in served.headers[0].values())


def test_an_answer_that_is_not_to_be_trusted_says_so_first(browser: Any, serve: Serve, small: Path) -> None:
    trust = {"trusted": False, "distance": 9.1, "reasons": ["spacing of 9 mm"]}

    def answer(volume: Volume, path: Path) -> tuple[Volume, dict[str, Any]]:
        mask, told = boxed(volume, path)
        return mask, {**told, "trust": trust, "remarks": ["<b>scaled</b> to 1"]}

    with serve([ONE_CHANNEL], answer) as served, one_page(browser, color_scheme="dark") as page:
        open_page(page, served)
        drop(page, small)
        predict(page)
        told = page.inner_text("#answer")
        assert told.startswith("Do not trust this answer") and "spacing of 9 mm" in told
        assert "<b>scaled</b> to 1" in told
        assert "Not a medical device" in page.inner_text("footer")


def test_the_servers_error_is_shown_in_its_one_line(browser: Any, serve: Serve, small: Path) -> None:
    def refuse(volume: Volume, _: Path) -> tuple[Volume, dict[str, Any]]:
        raise SeglineError(f"volume: {volume.grid.shape[2]} slices; the model needs 16")

    with serve([ONE_CHANNEL], refuse) as served, one_page(browser) as page:
        open_page(page, served)
        drop(page, small)
        predict(page)
        assert page.inner_text("#error") == "volume: 12 slices; the model needs 16"
        assert page.is_enabled("#send")


def test_what_is_no_scan_is_told(browser: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "broken.nii.gz").write_bytes(b"no scan")
    (tmp_path / "letter.txt").write_text("no scan")
    with one_page(browser) as page:
        open_page(page, server)
        drop(page, tmp_path / "letter.txt")
        page.get_by_text("letter.txt: neither DICOM nor one of").wait_for()
        drop(page, tmp_path / "broken.nii.gz")
        page.get_by_text("broken.nii.gz cannot be shown").wait_for()


def test_a_cancelled_job_is_cancelled_on_the_server(browser: Any, serve: Serve, small: Path) -> None:
    with serve([ONE_CHANNEL], boxed) as served, one_page(browser) as page:
        open_page(page, served)
        served.hold.clear()
        drop(page, small)
        page.click("#send")
        page.get_by_text("Running 40 %").wait_for()
        with page.expect_response(lambda answer: answer.request.method == "DELETE"):
            page.click("#cancel")
        page.get_by_text("Cancelled").wait_for()
        assert served.jobs["1"]["status"] == "cancelled" and page.is_enabled("#send")


def test_a_full_queue_is_waited_for(browser: Any, serve: Serve, small: Path) -> None:
    with serve([ONE_CHANNEL], boxed) as served, one_page(browser) as page:
        open_page(page, served)
        served.refusals = [429, 503]
        drop(page, small)
        predict(page)
        assert "5.25 ml" in page.inner_text("#answer") and served.refusals == []


def test_a_key_is_asked_for_and_forgotten_with_the_tab(browser: Any, serve: Serve, small: Path) -> None:
    with serve([ONE_CHANNEL], boxed, key="secret") as served, one_page(browser) as page:
        page.goto(f"{served.uri}/")
        page.get_by_text("an access key is needed").wait_for()
        page.fill("#key", "secret")
        page.press("#key", "Tab")
        page.get_by_text("Model phantom/3").wait_for()
        drop(page, small)
        predict(page)
        assert "5.25 ml" in page.inner_text("#answer")
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


def test_a_dicom_series_is_sent_as_one_zip_and_shown_when_it_was_read(
    browser: Any, serve: Serve, shared_data: Path, tmp_path: Path
) -> None:
    def answer(volume: Volume, _: Path) -> tuple[Volume, dict[str, Any]]:
        return volume.with_array((volume.array > 150).astype(np.uint8)), {"volumes_ml": {"spleen": 1.0}}

    for path in sorted((shared_data / "ct_dicom_series").glob("*.dcm"))[:10]:
        shutil.copy(path, tmp_path)
    series = sorted(tmp_path.glob("*.dcm"))
    with serve([ONE_CHANNEL], answer) as served, one_page(browser) as page:
        open_page(page, served)
        page.set_input_files("#folder", tmp_path)
        page.get_by_text("DICOM, shown when the server has read it").wait_for()
        predict(page)
        assert f"of {len(series)}" in page.inner_text("#slice-number")
        assert painted(pixels(page), GREEN) > 100
        assert served.headers[0]["x-filename"] == "series.zip"
        sent = sorted(path.read_bytes() for path in (served.folder / "1" / "series").iterdir())
        assert sent == sorted(path.read_bytes() for path in series)


def test_files_of_several_channels_go_in_the_models_order(browser: Any, serve: Serve, small: Path) -> None:
    order = [small.parent / name for name in ("b_T1.nii.gz", "a_T2.nii.gz")]
    for factor, path in enumerate(order, 1):
        volume = read_volume(small)
        write_volume(path, volume.with_array(factor * volume.array))
    seen: list[float] = []

    def answer(volume: Volume, path: Path) -> tuple[Volume, dict[str, Any]]:
        seen.extend(float(channel.mean()) for channel in volume.array)
        return boxed(volume, path)

    with serve([{**ONE_CHANNEL, "channels": ["T1", "T2"]}], answer) as served, one_page(browser) as page:
        open_page(page, served)
        drop(page, *order)
        page.locator("#assigned select").first.wait_for()
        predict(page)
        assert seen[1] == pytest.approx(2 * seen[0], rel=1e-3)
        drop(page, *order, small)
        page.get_by_text("3 files, but the model takes 2").wait_for()
        assert page.is_disabled("#send")


def test_a_class_is_shown_with_its_probabilities(browser: Any, serve: Serve, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(tmp_path / "hand.png")
    found = {"class": "Hand", "probabilities": {"CXR": 0.02, "Hand": 0.98}, "model": "mednist/1"}
    model = {**SPLEEN, "kind": "classification", "channels": ["picture"], "labels": {"0": "CXR", "1": "Hand"}}
    with serve([model], lambda *_: (None, found)) as served, one_page(browser) as page:
        open_page(page, served)
        drop(page, tmp_path / "hand.png")
        predict(page)
        told = page.inner_text("#answer")
        assert "Class: Hand" in told and told.index("98.0 %") < told.index("2.0 %")


def test_on_a_phone_behind_a_prefix_all_is_in_reach_of_a_thumb(
    browser: Any, serve: Serve, small: Path
) -> None:
    phone = {"viewport": {"width": 390, "height": 760}, "has_touch": True, "is_mobile": True}
    with serve([ONE_CHANNEL], boxed, prefix="/segline") as served, one_page(browser, **phone) as page:
        open_page(page, served)
        page.set_input_files("#files", file_of(small))
        page.locator("#bar").wait_for()
        page.tap("#send")
        page.locator("#download").wait_for()
        assert painted(pixels(page), GREEN) > 200
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        sizes = page.evaluate(
            "[...document.querySelectorAll('button:not([hidden]), .choice span, .labels label')]"
            ".map((part) => part.getBoundingClientRect().height)"
        )
        assert min(sizes) >= 36
        before = page.inner_text("#where")
        touch(page, 70, 300)
        page.wait_for_function(
            "(before) => document.getElementById('where').textContent !== before", arg=before
        )


def test_words_stand_out_in_light_and_in_dark() -> None:
    style = page_files()["viewer/viewer.css"].read_text()
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for part in style.split("@media")[:2])
    pairs = [(ink, ground) for ink in ("ink", "muted") for ground in ("page", "card")]
    pairs += [("on-accent", "accent"), ("accent", "card"), ("warn", "warn-soft"), ("bad", "bad-soft")]
    for colours in (light, dark):
        poor = {pair: ratio for pair in pairs if (ratio := contrast(*(colours[name] for name in pair))) < 4.5}
        assert poor == {}


def contrast(one: str, other: str) -> float:
    """WCAG 2's ratio."""
    low, high = sorted(luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_both_pages_colour_labels_as_the_report_does() -> None:
    scene = page_files()["viewer/scene.js"].read_text()
    (listed,) = re.findall(r"COLOURS = \[(.*)\];", scene)
    assert tuple(re.findall(r"#\w{6}", listed)) == LABEL_COLORS


def test_the_page_asks_for_nothing_that_is_not_served() -> None:
    files = page_files()
    asked = re.findall(r'(?:src|href)="([^"#]+)"', files[""].read_text())
    assert {name for name in asked if name.startswith("viewer/")} <= files.keys()
    assert {name for name in asked if not name.startswith("viewer/")} <= {"data:,", "docs"}


def test_an_installation_without_niivue_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "segline"
    for name in ("serving", "report"):
        shutil.copytree(
            Path(str(page_files()[""])).parents[2] / name / "viewer",
            library / name / "viewer",
            ignore=shutil.ignore_patterns("niivue"),
        )
    monkeypatch.setattr("segline.serving.viewer.resources.files", lambda _: library)
    with pytest.raises(SeglineError, match=r"niivue\.umd\.js: not in this installation.*make niivue"):
        page_files()
