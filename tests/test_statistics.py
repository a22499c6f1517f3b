"""Means over cases with their uncertainty."""

import math

import numpy as np
import pytest

from segline.statistics import Estimate, bootstrap_ci95, paired_difference


def test_an_estimate_counts_values_and_missing_ones_apart():
    found = Estimate.of([1.0, None, 3.0, 8.0, None])
    assert (found.mean, found.median, found.count, found.missing) == (4, 3, 3, 2)


def test_no_values_give_no_mean():
    assert Estimate.of([]) == Estimate(mean=None, ci95=None, median=None, count=0, missing=0)
    assert Estimate.of([None]) == Estimate(mean=None, ci95=None, median=None, count=0, missing=1)


def test_one_value_has_a_mean_but_no_interval():
    assert Estimate.of([0.9]) == Estimate(mean=0.9, ci95=None, median=0.9, count=1, missing=0)


def test_equal_values_have_an_interval_of_no_width():
    assert Estimate.of([0.5] * 6).ci95 == (0.5, 0.5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_undefined_values_must_be_none(value):
    with pytest.raises(ValueError, match="must be None"):
        Estimate.of([value])


def test_an_estimate_survives_json():
    found = Estimate.of([0.1, 0.2, None])
    assert Estimate.model_validate_json(found.model_dump_json()) == found


def test_an_estimate_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Estimate.of([1.0]).mean = 2.0


def test_the_interval_is_the_same_every_time():
    values = np.random.default_rng(1).random(20).tolist()
    assert bootstrap_ci95(values) == bootstrap_ci95(values)
    assert bootstrap_ci95(values, seed=1) != bootstrap_ci95(values, seed=2)


def test_the_interval_lies_around_the_mean_and_within_the_values():
    values = [0.2, 0.9, 0.91, 0.93, 0.95, 0.97]
    low, high = bootstrap_ci95(values)
    assert min(values) <= low < np.mean(values) < high <= max(values)


def test_the_interval_of_many_normal_values_is_that_of_theory():
    values = np.random.default_rng(3).normal(5, 2, 400)
    low, high = bootstrap_ci95(values.tolist())
    half = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_the_interval_holds_the_truth_about_95_times_of_100():
    draws = np.random.default_rng(4).normal(0, 1, (200, 30))
    covered = sum(low <= 0 <= high for low, high in (bootstrap_ci95(row.tolist()) for row in draws))
    assert 0.88 <= covered / 200 <= 0.98


@pytest.mark.parametrize("values", [[], [1.0]])
def test_an_interval_needs_two_values(values):
    with pytest.raises(ValueError, match="two or more"):
        bootstrap_ci95(values)


def test_a_difference_is_first_minus_second():
    assert paired_difference([3.0, 4.0], [1.0, 1.0]).mean == 2.5


def test_pairing_removes_the_spread_between_cases():
    a = [0.1, 0.5, 0.9]
    low, high = paired_difference([x + 0.01 for x in a], a).ci95
    assert (low, high) == pytest.approx((0.01, 0.01))


def test_a_pair_with_an_undefined_side_is_missing():
    found = paired_difference([1.0, None, 3.0, None], [1.0, 1.0, None, None])
    assert (found.mean, found.count, found.missing) == (0, 1, 3)


def test_pairs_must_be_of_the_same_cases():
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 2.0], [1.0])
