"""A folder a class."""

import shutil
from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.data.sources import fetch
from segline.data.targets.classes import CLASSES
from segline.data.verification import survey, verify
from tests.kinds.class_folders import write_pictures


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "Shapes", each=3)


def test_every_image_is_a_case_of_its_folders_class(root: Path) -> None:
    (root / "disc/notes.txt").write_text("no image")
    (root / "disc/.DS_Store").write_text("no image")
    (root / "__MACOSX/disc").mkdir(parents=True)
    (root / "LICENSE").write_text("CC-BY 4.0\nand more")
    manifest = verify(root, targets=CLASSES)
    assert manifest.labels == {0: "bar", 1: "disc", 2: "ring"} and manifest.licence == "CC-BY 4.0"
    assert [case.name for case in manifest.cases][2:4] == ["bar_002", "disc_000"]
    assert [case.value for case in manifest.cases] == [0.0] * 3 + [1.0] * 3 + [2.0] * 3
    assert manifest.cases[0].images[0].path == "bar/000.png" and manifest.cases[0].label is None


def test_a_class_is_part_of_a_cases_content(root: Path) -> None:
    before = verify(root, targets=CLASSES)
    shutil.move(root / "bar/000.png", root / "disc/000a.png")
    after = verify(root, targets=CLASSES)
    assert {case.digest for case in before.cases} - {case.digest for case in after.cases} == {
        before.case("bar_000").digest
    }


def test_one_image_in_two_classes_stays_on_one_side(root: Path) -> None:
    shutil.copy(root / "bar/001.png", root / "ring/009.png")
    assert verify(root, targets=CLASSES).twins == (("bar_001", "ring_009"),)


def test_a_damaged_image_is_one_fault(root: Path) -> None:
    (root / "ring/001.png").write_bytes(b"\x89PNG")
    (fault,) = survey(root, targets=CLASSES).faults
    assert fault.case == "ring_001"
    assert str(fault.error).startswith("ring/001.png: not a readable picture")


def test_names_that_come_together_are_refused(root: Path) -> None:
    shutil.copy(root / "bar/001.png", root / "bar/001.jpeg")
    with pytest.raises(SeglineError, match=r"bar/001.png: would be called bar_001, as bar/001.jpeg"):
        verify(root, targets=CLASSES)
    (root / "bar/001.jpeg").unlink()
    (root / "bar").rename(root / "@bar")
    with pytest.raises(SeglineError, match="class '@bar' begins with '@'"):
        verify(root, targets=CLASSES)


def test_a_folder_of_one_class_is_none(root: Path) -> None:
    shutil.rmtree(root / "bar")
    shutil.rmtree(root / "disc")
    with pytest.raises(SeglineError, match=r"dataset.json: no such file in .* in folders, one a class"):
        verify(root, targets=CLASSES)


def test_an_archive_of_class_folders_is_unpacked(root: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "shapes"), "gztar", root.parent, root.name)
    folder = fetch(archive, tmp_path / "store")
    assert (
        verify(folder, targets=CLASSES).digest
        == verify(root, targets=CLASSES).model_copy(update={"name": folder.name}).digest
    )
