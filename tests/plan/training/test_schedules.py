"""What the learning rate does after the warm-up."""

import pytest

from segline.plan import Cosine, Polynomial

SCHEDULES = [Cosine(), Polynomial()]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
def test_it_falls_from_one_to_nothing(schedule: Cosine | Polynomial) -> None:
    rates = [schedule.rate(progress / 10, 0.1) for progress in range(1, 11)]
    assert rates[0] == pytest.approx(1) and rates[-1] == pytest.approx(0, abs=1e-9)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
def test_a_training_that_is_all_warm_up_keeps_its_rate(schedule: Cosine | Polynomial) -> None:
    assert schedule.rate(1.0, 1.0) == 1
