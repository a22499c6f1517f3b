import io

import pytest

from segline.common import progress
from segline.common.progress import ConsoleProgress, silent


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def shown(terminal: Terminal) -> list[str]:
    """What each call drew, without the control characters."""
    drawn = terminal.getvalue()
    for control in ("\x1b[K", "\x1b[?7l", "\x1b[?7h"):
        drawn = drawn.replace(control, "")
    return drawn.split("\r")[1:]


def test_silent_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    silent(0.5, "half")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_terminal_shows_a_bar_that_grows_in_place() -> None:
    terminal = Terminal()
    bar = ConsoleProgress("train", terminal)
    for done in (0, 0.5, 1):
        bar(done, "epoch 3")
    assert shown(terminal) == [
        "train " + "·" * 24 + "   0% epoch 3",
        "train " + "█" * 12 + "·" * 12 + "  50% epoch 3",
        "train " + "█" * 24 + " 100% epoch 3\n",
    ]


def test_a_bar_erases_the_longer_line_before_it_and_does_not_wrap() -> None:
    terminal = Terminal()
    ConsoleProgress("train", terminal)(0.5, "words " * 100)
    drawn = terminal.getvalue()
    assert drawn.startswith("\r\x1b[K")
    assert drawn.index("\x1b[?7l") < drawn.index("words")
    assert drawn.endswith("\x1b[?7h")


def test_a_log_gets_plain_lines() -> None:
    log = io.StringIO()
    ConsoleProgress("train", log)(0.25, "epoch 3")
    assert log.getvalue() == "train  25% epoch 3\n"


def test_lines_in_a_log_are_seconds_apart() -> None:
    log = io.StringIO()
    line = ConsoleProgress("train", log)
    for step in range(1000):
        line(step / 1000, f"step {step}")
    assert log.getvalue() == "train   0% step 0\n"


def test_a_line_comes_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_SECONDS", -1.0)
    log = io.StringIO()
    line = ConsoleProgress("train", log)
    line(0.1, "a")
    line(0.2, "b")
    assert log.getvalue().splitlines() == ["train  10% a", "train  20% b"]


def test_the_last_line_is_always_shown() -> None:
    log = io.StringIO()
    line = ConsoleProgress("train", log)
    line(0, "start")
    line(0.99, "nearly")
    line(1, "end")
    assert log.getvalue().splitlines() == ["train   0% start", "train 100% end"]


def test_progress_goes_to_standard_output_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleProgress("train")(1, "end")
    assert capsys.readouterr().out == "train 100% end\n"
