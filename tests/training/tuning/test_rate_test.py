from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segline.data.cases.index import CaseIndex
from segline.plan import Plan
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer
from segline.training.tuning.rate_test import FREEDOM, HIGHEST, LOWEST, RangeTest, as_table, range_test

USUAL = 3e-3


def falling_at(rate: float, floor: float = 0.5) -> RangeTest:
    """A loss that falls from 2 to ``floor`` around one rate, and rises behind it."""
    rates = np.geomspace(1e-5, 1e-1, 80)
    position = np.log10(rates / rate)
    losses = floor + (2 - floor) / (1 + np.exp(4 * position)) + np.maximum(position - 1, 0)
    return RangeTest(rates=tuple(rates), losses=tuple(losses))


@pytest.mark.parametrize("rate", [1.5e-3, 3e-3, 6e-3])
def test_the_suggestion_is_where_the_loss_falls_fastest(rate: float) -> None:
    assert falling_at(rate).suggestion(USUAL) == pytest.approx(rate, rel=0.2)


@pytest.mark.parametrize(("rate", "bound"), [(1e-4, USUAL / FREEDOM), (3e-2, USUAL * FREEDOM)])
def test_a_suggestion_is_at_most_three_times_off_the_usual_rate(rate: float, bound: float) -> None:
    assert falling_at(rate).suggestion(USUAL) == pytest.approx(bound)


def test_a_loss_that_hardly_falls_suggests_the_usual_rate() -> None:
    assert falling_at(6e-3, floor=1.9).suggestion(USUAL) == USUAL


def test_a_fall_behind_the_lowest_loss_does_not_count() -> None:
    test = falling_at(2e-3)
    spike = [*test.losses[:70], 9.0, 9.0, 9.0, 9.0, *[1.9] * 6]
    assert test.model_copy(update={"losses": tuple(spike)}).suggestion(USUAL) == pytest.approx(2e-3, rel=0.2)


def test_smoothing_takes_noise_away_and_moves_nothing() -> None:
    clean = falling_at(3e-3)
    noise = np.random.default_rng(0).normal(0, 0.2, len(clean.losses))
    noisy = clean.model_copy(update={"losses": tuple(np.array(clean.losses) + noise)})
    away = np.array(noisy.smoothed) - np.array(clean.smoothed)
    assert away.std() < 0.5 * noise.std()
    assert abs(away.mean()) < 0.05


def test_the_table_gives_rates_with_their_losses() -> None:
    lines = as_table(falling_at(3e-3), rows=3).splitlines()
    assert lines[0] == "learning rate  loss"
    assert lines[1].split() == ["1.0e-05", "1.9999"]
    assert len(lines) == 4


@pytest.fixture
def new_trainer(tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path) -> Callable[..., Trainer]:
    """Makes a trainer with the given usual rate."""

    def make(rate: float) -> Trainer:
        training = tiny_plan.training.model_copy(update={"learning_rate": rate})
        plan = tiny_plan.model_copy(update={"training": training})
        return Trainer(plan, tiny_index.open(plan.split.train), [], Checkpoint(tmp_path / "none.pt"))

    return make


def test_the_rate_rises_evenly_on_a_logarithmic_scale(new_trainer: Callable[..., Trainer]) -> None:
    test = range_test(new_trainer(USUAL), 40)
    assert test.rates[0] == pytest.approx(LOWEST * USUAL)
    factors = np.array(test.rates[1:]) / test.rates[:-1]
    assert factors == pytest.approx((HIGHEST / LOWEST) ** (1 / 39))
    assert len(test.losses) == len(test.rates) <= 40


def test_the_loss_of_a_real_training_falls_and_gives_a_suggestion(
    new_trainer: Callable[..., Trainer],
) -> None:
    test = range_test(new_trainer(USUAL), 80)
    assert min(test.smoothed) < 0.9 * test.smoothed[0]
    assert USUAL / FREEDOM <= test.suggestion(USUAL) <= USUAL * FREEDOM


def test_it_ends_where_the_loss_blows_up(new_trainer: Callable[..., Trainer]) -> None:
    test = range_test(new_trainer(1e4), 40)
    assert len(test.losses) < 40
    assert np.isfinite(test.losses).all()
