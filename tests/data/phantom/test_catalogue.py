"""Phantoms by name: one grammar, and refusals that say what to give."""

from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.data.phantom.catalogue import is_one, written


@pytest.mark.parametrize("name", ["phantom", "phantom:3", "phantom-heart:3:1", "phantom-iseg:3:1:0.5"])
def test_a_phantom_is_known_by_its_name(name: str) -> None:
    assert is_one(name)


@pytest.mark.parametrize("name", ["phantom:", "phantom:x", "phantom-liver", "phantom-heart:3:1:", "phantoms"])
def test_nothing_else_is_one(name: str) -> None:
    assert not is_one(name)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("phantom:3:0:0.5", "phantom:3:0:0.5: has one size; leave the scale out"),
        ("phantom-brain:3:0:2", "phantom-brain:3:0:2: a scale of 2; give a scale of 0.1 to 1"),
        ("phantom-heart:0", "phantom: 0 cases asked for; ask for at least 1"),
    ],
)
def test_what_there_is_not_is_refused(source: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(SeglineError) as caught:
        written(source, tmp_path)
    assert str(caught.value) == line
    assert not list((tmp_path / "datasets").glob("phantom*"))
