"""Intake tells what the records of a served model say of its inputs."""

from datetime import UTC, datetime
from pathlib import Path

from segline.inference.familiarity.drift import DRIFT, Entry
from segline.stages.data import drift_told
from segline.storage.depot import Depot


def write_record(folder: Path, doubted: int) -> None:
    entry = Entry(
        time=datetime(2026, 3, 1, tzinfo=UTC),
        model="spleen/3",
        distance=1,
        trusted=True,
        rate=0.02,
        calibration_cases=199,
    )
    untrusted = entry.model_copy(update={"trusted": False, "distance": 9, "kinds": ("unit",)})
    folder.mkdir(parents=True)
    (folder / "server.jsonl").write_text(entry.line() * 50)
    (folder / "server.jsonl.1").write_text(untrusted.line() * doubted)


def test_inputs_that_drifted_are_told_with_the_reason_to_retrain(tmp_path: Path) -> None:
    write_record(tmp_path / DRIFT, doubted=50)
    told = drift_told(Depot.here(tmp_path), "spleen")
    assert told == (
        "; of 100 answers of spleen/3 since 2026-03-01, 50 (50%) were not trusted, 2 expected (unit 50); "
        "the inputs have drifted: label such cases and retrain"
    )


def test_without_a_record_or_of_another_task_nothing_is_told(tmp_path: Path) -> None:
    assert drift_told(Depot.here(tmp_path / "a"), "spleen") == ""
    write_record(tmp_path / "b" / DRIFT, doubted=1)
    assert drift_told(Depot.here(tmp_path / "b"), "heart") == ""


def test_a_damaged_record_is_told_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / DRIFT).mkdir()
    (tmp_path / DRIFT / "server.jsonl").write_text("text\n")
    assert "no line of it is of a drift record" in drift_told(Depot.here(tmp_path), "spleen")
