"""A record of answers says when inputs have left what a model learned from, and nothing of a patient."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from segline.cli.main import main
from segline.common.errors import SeglineError
from segline.inference.familiarity.drift import Entry, drift_of, read_record
from segline.inference.familiarity.judging import Familiarity

START = datetime(2026, 3, 1, tzinfo=UTC)


def entries(trusted: int, doubted: int, model: str = "spleen/3", cases: int = 199) -> list[Entry]:
    told = [True] * trusted + [False] * doubted
    return [
        Entry(
            time=START.replace(minute=number % 60, hour=number // 60),
            model=model,
            distance=0.3 if fine else 7,
            trusted=fine,
            rate=0.02,
            calibration_cases=cases,
            kinds=() if fine else ("offset",),
        )
        for number, fine in enumerate(told)
    ]


def test_far_more_doubts_than_were_calibrated_are_drift() -> None:
    drift = drift_of(entries(374, 38))
    assert drift and drift.is_sure
    assert drift.words == (
        "of 412 answers of spleen/3 since 2026-03-01, 38 (9%) were not trusted, 8 expected (offset 38); "
        "the inputs have drifted: label such cases and retrain"
    )


def test_as_many_doubts_as_were_calibrated_are_none() -> None:
    drift = drift_of(entries(402, 10))
    assert drift and not drift.is_sure and drift.words.endswith("8 expected (offset 10)")


def test_few_calibration_cases_are_not_taken_for_more() -> None:
    sure, unsure = (drift_of(entries(374, 24, cases=cases)) for cases in (999, 49))
    assert sure and unsure and sure.is_sure and not unsure.is_sure


def test_the_tail_is_that_of_a_beta_binomial() -> None:
    drift = drift_of(entries(374, 38, cases=99))
    assert drift and drift.p_value == pytest.approx(0.0017625252552129211)  # scipy.stats.betabinom.sf
    fine = drift_of(entries(412, 0))
    assert fine and fine.p_value == 1.0


def test_a_new_champion_begins_anew() -> None:
    later = [entry.model_copy(update={"time": START.replace(day=2)}) for entry in entries(5, 0, "spleen/4")]
    drift = drift_of([*entries(10, 30), *later, *entries(0, 9, "heart/1")], "spleen")
    assert drift and (drift.model, drift.answers, drift.untrusted) == ("spleen/4", 5, 0)
    assert drift_of([], "spleen") is None


def test_an_entry_says_nothing_of_the_patient() -> None:
    familiar = Familiarity(7.0, 1.5, 0.01, 0.02, 99, ("spleen fills 2500 ml",), ("volume",))
    line = Entry.of(familiar, "spleen/3").line()
    assert line.endswith("}\n") and "2500" not in line and '"kinds":["volume"]' in line


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    whole = "".join(entry.line() for entry in entries(3, 1))
    (tmp_path / "a.jsonl").write_text(whole[:-20])
    assert len(read_record([tmp_path / "a.jsonl"])) == 3


def test_a_file_that_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("text\n")
    with pytest.raises(SeglineError, match=r"a\.jsonl: no line of it is of a drift record"):
        read_record([tmp_path / "a.jsonl"])


def test_the_command_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(entry.line() for entry in entries(374, 38)))
    assert main(["drift", str(path)]) == 0
    assert capsys.readouterr().out.startswith("of 412 answers of spleen/3 since 2026-03-01, 38 (9%)")
    assert main(["drift", str(path), "--json"]) == 0
    assert '"drifted": true' in capsys.readouterr().out
    assert main(["drift", str(path), "--task", "heart"]) == 2
    assert "there is no answer of heart in it" in capsys.readouterr().err
