import time

import pytest

from segline.inference.stopwatch import Stopwatch


def test_the_time_inside_a_lap_is_measured() -> None:
    watch = Stopwatch()
    with watch.lap("load"):
        time.sleep(0.05)
    assert 0.05 <= watch.seconds["load"] < 1


def test_laps_of_one_name_add_up() -> None:
    watch = Stopwatch()
    for _ in range(3):
        with watch.lap("network"):
            time.sleep(0.02)
    assert watch.seconds["network"] >= 0.06


def test_names_are_kept_apart() -> None:
    watch = Stopwatch()
    with watch.lap("load"):
        time.sleep(0.02)
    with watch.lap("save"):
        pass
    assert watch.seconds["save"] < 0.02 <= watch.seconds["load"]
    assert list(watch.seconds) == ["load", "save"]


def test_a_lap_that_fails_is_measured_and_its_error_passes_on() -> None:
    watch = Stopwatch()
    with pytest.raises(RuntimeError, match="broken"), watch.lap("load"):
        raise RuntimeError("broken")
    assert watch.seconds["load"] > 0
