import math
from typing import Any

import pytest

from segline.training.clock import Clock

from ..conftest import small_plan


def schedule(total_steps: int = 100, **training: Any) -> Clock:
    values = {"learning_rate": 0.01, "warmup_share": 0.1, "validations": 4, **training}
    return Clock(small_plan(training=values).training, total_steps)


def test_progress_is_the_share_of_the_steps() -> None:
    assert [schedule().progress(step, minutes=1e9) for step in (0, 25, 100)] == [0, 0.25, 1]


def test_with_a_budget_of_minutes_progress_is_whichever_is_further() -> None:
    budget = schedule(max_minutes=10)
    assert budget.progress(step=10, minutes=5) == 0.5
    assert budget.progress(step=80, minutes=5) == 0.8


@pytest.mark.parametrize(("step", "minutes"), [(100, 0), (150, 0), (0, 10), (1, 11)])
def test_progress_ends_at_one(step: int, minutes: float) -> None:
    assert schedule(max_minutes=10).progress(step, minutes) == 1


def test_the_learning_rate_rises_linearly_while_warming_up() -> None:
    assert schedule().learning_rate(0.05) == pytest.approx(0.005)
    assert schedule().learning_rate(0.1) == pytest.approx(0.01)


def test_the_first_step_already_learns() -> None:
    assert 0 < schedule().learning_rate(0.0) < 0.001


def test_the_learning_rate_then_falls_as_a_cosine_to_zero() -> None:
    rates = [schedule().learning_rate(0.1 + 0.9 * share) for share in (0, 0.25, 0.5, 0.75, 1)]
    wanted = [0.005 * (1 + math.cos(math.pi * share)) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert rates == pytest.approx(wanted)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_training_may_be_all_warm_up_or_have_none(share: float) -> None:
    rates = [schedule(warmup_share=share).learning_rate(step / 100) for step in range(101)]
    assert max(rates) == pytest.approx(0.01)
    assert min(rates) >= 0


def test_validations_are_spread_evenly_and_the_last_is_at_the_end() -> None:
    plan = schedule()
    due = [plan.validations_due(plan.progress(step, 0)) for step in range(101)]
    first = [due.index(number) for number in (1, 2, 3, 4)]
    assert first == [25, 50, 75, 100]
    assert max(due) == 4


@pytest.mark.parametrize("validations", [1, 3, 10, 49])
def test_no_rounding_loses_or_delays_a_validation(validations: int) -> None:
    for steps_between in range(1, 50):
        total = validations * steps_between
        plan = schedule(total, validations=validations)
        due = [plan.validations_due(plan.progress(step, 0)) for step in range(total + 1)]
        assert due == [step // steps_between for step in range(total + 1)]


def test_one_cycle_rises_and_falls_by_half_a_cosine_each() -> None:
    clock = schedule(warmup_share=0.25, schedule={"name": "onecycle"})
    rates = [clock.learning_rate(progress) / 0.01 for progress in (0, 0.125, 0.25, 0.625, 1)]
    assert rates == pytest.approx([0.04, 0.52, 1, 0.500005, 1e-5])
    lengths = [clock.learning_rate(step / 1000) for step in range(1001)]
    assert lengths.index(max(lengths)) == 250
