"""Images without a label are counted in either layout."""

import json
from pathlib import Path

import pytest

from segline.data.declarations.unlabelled import count_unlabelled


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ({"test": ["./imagesTs/a.nii.gz", "./imagesTs/b.nii.gz", "./imagesTs/c.nii.gz"]}, 3),
        ({"test": []}, 0),
        ({}, 0),
        ({"file_ending": ".nii.gz"}, 2),
    ],
)
def test_as_listed_or_as_named(content: dict[str, object], count: int, tmp_path: Path) -> None:
    (tmp_path / "imagesTs").mkdir()
    for name in ("a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "._b_0000.nii.gz"):
        (tmp_path / "imagesTs" / name).touch()
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert count_unlabelled(tmp_path) == count


def test_a_folder_that_says_by_names_what_it_holds_has_none(tmp_path: Path) -> None:
    assert count_unlabelled(tmp_path) == 0
