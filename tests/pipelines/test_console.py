"""What a local run shows and what it only logs."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines.console import StageLines


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
