"""What a local run shows and what it only logs."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

import pytest

from pipelines.console import StageLines

from ..command import left_by_its_reader
from ..small_disk import small_disk
from ..tiny_task import ROOT, run_command, run_task


def shown(tmp_path: Path, *pieces: str) -> str:
    """What reaches the terminal of text written in pieces."""
    terminal = io.StringIO()
    stream = StageLines(tmp_path / "run.log", terminal)
    for piece in pieces:
        stream.write(piece)
    stream.close()
    return terminal.getvalue()


def test_lines_of_stages_are_shown(tmp_path: Path) -> None:
    written = "    [train]  10% epoch 2\n    [plan] spacing\n    segline train: no memory\n"
    assert shown(tmp_path, written) == "[train]  10% epoch 2\n[plan] spacing\nsegline train: no memory\n"


def test_the_runners_own_lines_are_only_logged(tmp_path: Path) -> None:
    noise = '    [KFP Executor 2026 INFO]: Got executor_input:\n    {\n    plan: Artifact( name="plan",\n'
    assert shown(tmp_path, noise) == ""
    assert (tmp_path / "run.log").read_text() == noise


def test_a_line_may_come_in_pieces(tmp_path: Path) -> None:
    assert shown(tmp_path, "    [pl", "an] spa", "cing\n") == "[plan] spacing\n"


def test_lines_that_two_stages_write_at_once_stay_whole(tmp_path: Path) -> None:
    terminal = io.StringIO()
    stream = StageLines(tmp_path / "run.log", terminal)
    stream.write("    [train] 10%")
    with ThreadPoolExecutor(1) as other:
        other.submit(stream.write, "    [plan] spacing\n").result()
    stream.write(" epoch 2\n")
    stream.close()
    assert terminal.getvalue() == "[plan] spacing\n[train] 10% epoch 2\n"


def closed_pipe() -> TextIO:
    """To write to, with nobody to read it."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


def test_the_log_keeps_what_no_terminal_takes_any_more(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with closed_pipe() as terminal:
        stream = StageLines(tmp_path / "run.log", terminal)
        stream.write("[plan] spacing\n[train] 10%\n")
        stream.close()
    assert (tmp_path / "run.log").read_text() == "[plan] spacing\n[train] 10%\n"
    told = capfd.readouterr().err
    assert told.endswith(": Broken pipe; the run goes on, its lines are not written there\n")
    assert told.count("\n") == 1


def test_the_terminal_shows_what_the_log_has_no_room_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.log").symlink_to("/dev/full")
    assert shown(tmp_path, "[plan] spacing\n", "[train] 10%\n") == "[plan] spacing\n[train] 10%\n"
    told = capfd.readouterr().err
    assert told.startswith(f"segline: {tmp_path}/run.log: No space left on device; the run goes on")
    assert told.count("\n") == 1


@pytest.mark.heavy
def test_a_run_goes_on_when_its_reader_has_left(tmp_path: Path, tiny_task: Path) -> None:
    command = run_command(tmp_path, tiny_task, "--data", str(tmp_path / "nothing"))
    run = left_by_its_reader(command, cwd=ROOT)
    left, *reasons = run.stderr.splitlines()
    assert run.returncode == 1
    assert left.startswith("segline: <stdout>: Broken pipe; the run goes on")
    assert [reason for reason in reasons if "download" in reason] == reasons
    assert (tmp_path / "runs/latest/report.html").is_file()


@pytest.mark.heavy
def test_a_run_that_finds_no_room_even_for_its_failure_ends_in_one_line(
    tmp_path: Path, tiny_task: Path
) -> None:
    with small_disk(tmp_path / "runs", 8 * 4096) as disk:
        run = run_task(tmp_path, tiny_task)
        assert not disk.joinpath("latest/summary.json").exists()
    assert run.returncode == 1
    *_, line = run.stderr.splitlines()
    assert line.startswith("segline: the disk: no space left on the device; free some")
    assert "Traceback" not in run.stderr
