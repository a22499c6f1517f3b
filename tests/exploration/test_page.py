"""The page of a data set: whole, of bounded size, the same for the same data, with what the data offer."""

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from segline.data.verification import verify
from segline.exploration.checks.all_checks import look
from segline.exploration.facts import KindParts
from segline.exploration.page import explore, html
from segline.exploration.sections import intensities, labels
from segline.exploration.sections.cases import choose
from segline.exploration.sections.geometry import geometry_section
from segline.exploration.sections.head import findings_section
from segline.exploration.sections.listing import listing
from segline.exploration.sections.plan import plan_section
from segline.plan import Task
from tests.kinds.volumetry import KIND

from .bodies import PARTS, TASK, Body, facts_of, write_bodies
from .test_findings import in_micrometres, in_parts, offset, scaled, turned

pytestmark = pytest.mark.heavy

SECTIONS = ["findings", "data-set", "geometry", "intensities", "labels", "cases", "plan", "patches"]


class Page(HTMLParser):
    """What a page is made of; refuses tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in ("img", "meta"):
            self.open.append(tag)
        if tag == "section":
            self.sections.append(given.get("id") or "")
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a clean data set."""
    folder = tmp_path_factory.mktemp("clean")
    explore(write_bodies(folder / "Bodies"), folder / "page.html", TASK, PARTS, workers=2)
    return (folder / "page.html").read_text()


def test_the_page_has_every_part_and_says_that_nothing_is_wrong(written: str) -> None:
    assert Page(written).sections == SECTIONS
    assert "Nothing looks wrong" in written
    assert "No picture" not in written


def test_the_page_needs_nothing_else(written: str) -> None:
    page = Page(written)
    assert page.addresses
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "url(http" not in written
    assert "default-src &#x27;none&#x27;" in written


def test_the_same_data_give_the_same_page(written: str, tmp_path: Path) -> None:
    explore(write_bodies(tmp_path / "elsewhere"), tmp_path / "page.html", TASK, PARTS, workers=1)
    assert (tmp_path / "page.html").read_text() == written


def test_forty_cases_make_a_page_of_few_megabytes(tmp_path: Path) -> None:
    explore(write_bodies(tmp_path / "many", cases=40), tmp_path / "page.html", TASK, PARTS, workers=1)
    assert (tmp_path / "page.html").stat().st_size < 2_000_000


def test_patches_are_shown_beside_themselves_augmented(written: str) -> None:
    originals = re.findall(r"<figcaption>(\w+), original</figcaption>", written)
    assert len(originals) == 8
    assert re.findall(r"<figcaption>(\w+), augmented</figcaption>", written) == originals


def test_many_findings_of_a_check_are_summarised(tmp_path: Path) -> None:
    def often_in_parts(body: Body) -> None:
        if int(body.name[-3:]) % 5 == 0:
            in_parts(body)

    facts = facts_of(write_bodies(tmp_path, each=often_in_parts, cases=60))
    section = findings_section(facts, look(facts))
    assert section.count(">odd<") == 8
    assert "Label in parts: 4 more" in section
    assert "body_055" in section


def test_doubtful_cases_are_pictured_with_what_is_doubtful(tmp_path: Path) -> None:
    facts = facts_of(write_bodies(tmp_path, in_parts))
    chosen = choose(facts, look(facts))
    assert chosen["body_003"].startswith("Label in parts")
    assert sum("median" in why for why in chosen.values()) == 1


def test_each_value_of_the_plan_has_its_reason(tmp_path: Path) -> None:
    task = TASK.override("preprocessing.spacing_mm", [4, 4, 4])
    section = plan_section(facts_of(write_bodies(tmp_path), task))
    cells = re.findall(r"<tr><td><strong>(.*?)</strong></td><td.*?</td><td[^>]*>(.*?)</td></tr>", section)
    assert dict(cells)["Grid"] == "set by the task"
    assert "0.5th to 99.5th percentile" in dict(cells)["Intensity"]
    assert all(why for _, why in cells)


def test_sizes_on_the_plan_s_grid_are_told_without_the_case_of_another_unit(tmp_path: Path) -> None:
    task = TASK.override("preprocessing.spacing_mm", [4, 4, 4])
    section = geometry_section(facts_of(write_bodies(tmp_path, in_micrometres), task))
    told = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", unescape(section)))
    assert told["Target spacing"] == "4 × 4 × 4 mm"
    assert told["Least along each axis"] == told["Most along each axis"] == "15 × 14 × 15 voxels"
    assert (told["Patch"], told["Network's stride, which divides it"]) == ("12 × 12 × 12 voxels", "2 × 2 × 2")


def test_a_case_in_another_unit_spoils_no_plan(tmp_path: Path) -> None:
    facts = facts_of(write_bodies(tmp_path, in_micrometres))
    text = html(facts, look(facts), PARTS)
    assert "It is proposed without body_003, whose spacing is to be corrected first" in text
    assert "RAS, 2 × 2 × 3 mm" in text
    assert "No picture" not in text


def test_every_case_is_in_a_table_that_has_an_end(tmp_path: Path) -> None:
    facts = facts_of(write_bodies(tmp_path, in_parts, cases=205))
    table = listing(facts, look(facts))
    assert table.count("<tr>") == 1 + 200
    assert "5 more" in table
    assert "body_003" in table


def test_what_cannot_be_planned_is_told_and_the_rest_is_shown(tmp_path: Path) -> None:
    facts = facts_of(write_bodies(tmp_path, cases=2))
    text = html(facts, look(facts), PARTS)
    assert "No plan: task bodies: plan.split: 2 labelled cases, at least 3 are needed" in text
    assert Page(text).sections == SECTIONS[:-1]


def test_images_of_different_scale_without_a_unit_are_drawn_by_their_own_deviation(tmp_path: Path) -> None:
    facts = facts_of(write_bodies(tmp_path, scaled, modality={"0": "MRI"}))
    curves, axis = intensities.pooled(facts, 0)
    assert "standard deviations" in axis
    assert abs(float(np.median(curves["liver"]))) < 3
    in_hu = facts_of(write_bodies(tmp_path / "ct", offset))
    assert intensities.pooled(in_hu, 0)[1] == "HU"


def test_channels_are_shown_side_by_side(tmp_path: Path) -> None:
    root = write_bodies(tmp_path, cases=4, modality={"0": "T1", "1": "T2"})
    index = json.loads((root / "dataset.json").read_text())
    for entry in index["training"]:
        first = entry["image"]
        second = first.replace("imagesTr/", "imagesTr/second_")
        (root / second).write_bytes((root / first).read_bytes())
        entry["image"] = [first, second]
    (root / "dataset.json").write_text(json.dumps(index))
    facts = facts_of(root)
    text = html(facts, look(facts), PARTS)
    assert "its channels" in text
    assert "<h3>T2 (value as stored)</h3>" in text


def test_nnunets_layout_is_read_with_its_unlabelled_images(tmp_path: Path) -> None:
    root = write_bodies(tmp_path, cases=4)
    for path in list((root / "imagesTr").iterdir()):
        path.rename(path.with_name(path.name.replace(".nii.gz", "_0000.nii.gz")))
    (root / "imagesTs").mkdir()
    (root / "imagesTs/other_0000.nii.gz").write_bytes(b"")
    index = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1, "kidney": 2},
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(index))
    facts = facts_of(root)
    assert (len(facts.cases), facts.unlabelled) == (4, 1)


def test_a_kind_without_label_maps_gets_the_parts_that_apply(tmp_path: Path) -> None:
    root = write_bodies(tmp_path, turned)
    index = json.loads((root / "dataset.json").read_text())
    for number, entry in enumerate(index["training"], 1):
        entry["label"] = float(number)
    index["labels"] = {"0": "background", "1": "liver"}
    (root / "dataset.json").write_text(json.dumps(index))
    parts = KindParts(KIND.targets, KIND.propose, KIND.objective.sampler)
    facts = facts_of(root, Task(name="volumes", kind="volumetry", source="bodies"), parts)
    findings = look(facts)
    assert [finding.check for finding in findings] == ["Orientation"]
    assert labels.labels_section(facts) is None
    text = html(facts, findings, parts)
    assert Page(text).sections == [name if name != "labels" else "values" for name in SECTIONS]
    assert "No picture" not in text
    assert "all voxels" in text


def test_verification_is_not_changed_by_a_look(tmp_path: Path) -> None:
    root = write_bodies(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert facts_of(root).manifest == verify(root)
    assert sorted(tmp_path.rglob("*")) == before
