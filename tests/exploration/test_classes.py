"""A data set of a folder a class, looked at."""

import re

import pytest
from PIL import Image

from tests.command import segline
from tests.kinds.class_folders import CLASSES, write_pictures

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the command makes of pictures, of which one is empty."""
    folder = tmp_path_factory.mktemp("explored")
    root = write_pictures(folder / "Shapes", each=6)
    Image.new("L", (36, 40), 7).save(root / "disc/empty.png")
    done = segline("explore", root, "-o", folder / "page.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder}/page.html: 19 cases, 1 finding\n"
    return (folder / "page.html").read_text()


def test_without_a_task_it_is_of_classes(page: str) -> None:
    shown = re.sub(r"<[^>]+>", " ", page)
    assert "resnet" not in shown and "densenet121 in 2-D" in shown
    assert "the names of the folders" in shown and "each image is seen whole" in shown
    for words in ("Dice", "Most parts", "labelled volume"):
        assert words not in shown


def test_images_of_each_class_are_pictured(page: str) -> None:
    cases = page[page.index('id="cases"') : page.index('id="plan"')]
    assert [cases.count(f'alt="Image of {name}_0') for name in CLASSES] == [3, 3, 3]


def test_the_empty_one_is_found(page: str) -> None:
    assert "disc_empty" in page and "every voxel is 7" in page


def test_training_images_are_shown_changed(page: str) -> None:
    patches = page[page.index('id="patches"') :]
    assert patches.count("original") == patches.count("augmented") == 2 * 8
