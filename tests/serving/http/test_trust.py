"""What a server says of volumes that are unlike those that its model learned from, and where it is kept."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from segline.cli.main import main
from segline.data.phantom.scanner import phantom_case
from segline.imaging.files import write_volume
from segline.model.package import Model

from ...waiting import wait_until
from ..server import Server


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drift") / "served.jsonl"


@pytest.fixture(scope="module")
def recording(tiny_model: Model, record: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("recording")
    with Server(tiny_model.folder, folder, "--drift", str(record)) as running:
        yield running


def test_an_answer_says_whether_to_trust_it_and_it_is_counted_and_recorded(
    recording: Server, record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = phantom_case(7)[0]
    write_volume(tmp_path / "offset.nii.gz", image.with_array(image.array + 1024))
    trust = recording.post((tmp_path / "offset.nii.gz").read_bytes(), "/v1/predict?format=json").json()[
        "trust"
    ]
    assert trust["trusted"] is False and trust["distance"] > trust["threshold"]
    assert any("1024" in reason for reason in trust["reasons"])
    counted = 'segline_untrusted_answers_total{reason="offset"'
    assert counted in recording.get("/metrics").text
    wait_until(lambda: record.read_text().endswith("\n"))
    (entry,) = map(json.loads, record.read_text().splitlines())
    assert entry["trusted"] is False and "offset" in entry["kinds"]
    assert main(["drift", str(record)]) == 0
    assert "1" in capsys.readouterr().out
