"""Documents between stages, and files that others wrote."""

import json
from pathlib import Path

import pytest

from segline.common.documents import Document, read_json_object, read_sealed
from segline.common.documents.texts import LARGEST_JSON
from segline.common.errors import SeglineError
from segline.plan import Plan

DEEP = '{"a":' * 100_000 + "0" + "}" * 100_000
HALF = r'{"a": "\ud800"}'


class Score(Document):
    kind = "a score"
    stage = "evaluate"

    mean: float


def refusal(path: Path, text: str | bytes) -> str:
    """What each way of reading says of a file."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SeglineError) as told:
        read_json_object(path, path.name)
    with pytest.raises(SeglineError, match="not a score, "):
        Score.read(path)
    with pytest.raises(SeglineError):
        read_sealed(path, lambda values: Plan.parse(values, path.name), "plan again")
    return str(told.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "score.json"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (DEEP, "score.json: not JSON (nested deeper than 100 levels)"),
        (HALF, r"score.json: not JSON ('\ud800' has half a character: UTF-8 cannot hold it)"),
        ("", "score.json: the file is empty; fetch it again"),
        (b"\xff", "score.json: not UTF-8 text"),
    ],
    ids=["deep", "half a character", "empty", "not UTF-8"],
)
def test_whichever_way_it_is_read_a_fault_is_one_line(path: Path, text: str, told: str) -> None:
    line = refusal(path, text)
    assert told in line and "\n" not in line


def test_one_that_is_too_large_is_refused_unread(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGEST_JSON + 1)
    for read in (lambda: read_json_object(path, "dataset.json"), lambda: Score.read(path)):
        with pytest.raises(SeglineError, match=r"json: larger than 256 MB; this is no such document"):
            read()


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400"])
def test_a_document_has_finite_numbers(path: Path, number: str) -> None:
    path.write_text(f'{{"mean": {number}}}')
    with pytest.raises(SeglineError, match=r"not a score, not JSON: .* not a finite number; run evaluate ag"):
        Score.read(path)
    with pytest.raises(SeglineError, match="not a finite number"):
        read_sealed(path, lambda values: Plan.parse(values, "plan"), "plan again")


def test_fifty_thousand_cases_are_declared_in_far_less_than_is_allowed(path: Path) -> None:
    entries = [
        {
            "image": f"./imagesTr/abdomen_{number:06d}.nii.gz",
            "label": f"./labelsTr/abdomen_{number:06d}.nii.gz",
        }
        for number in range(50_000)
    ]
    path.write_text(json.dumps({"training": entries}))
    assert path.stat().st_size < LARGEST_JSON / 6
    assert len(read_json_object(path, path.name)["training"]) == 50_000
