"""Means over cases with their uncertainty, and whether two runs are equivalent."""

import math

import numpy as np
import pytest

from segline.evaluation.equivalence import Equivalence, equivalence
from segline.evaluation.estimates import Estimate, bootstrap_ci95, paired_difference


def test_an_estimate_counts_values_and_missing_ones_apart():
    found = Estimate.of([1.0, None, 3.0, 8.0, None])
    assert (found.mean, found.median, found.count, found.missing) == (4, 3, 3, 2)


def test_no_values_give_no_mean():
    assert Estimate.of([]) == Estimate(mean=None, ci95=None, median=None, count=0, missing=0)
    assert Estimate.of([None]) == Estimate(mean=None, ci95=None, median=None, count=0, missing=1)


def test_one_value_has_a_mean_but_no_interval():
    assert Estimate.of([0.9]) == Estimate(mean=0.9, ci95=None, median=0.9, count=1, missing=0)


def test_the_deviation_is_over_cases_and_needs_two() -> None:
    assert Estimate.of([-0.1, 0.3, None]).sd == pytest.approx(0.2 * math.sqrt(2))
    assert Estimate.of([0.9]).sd is None
    assert "sd" not in Estimate.of([0.9]).model_dump()


def test_what_was_estimated_before_there_was_a_deviation_is_read() -> None:
    earlier = Estimate.of([0.5, 0.7]).model_dump(exclude={"sd"})
    assert Estimate.model_validate(earlier).sd is None


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


def test_differences_that_scatter_well_within_the_margin_are_equivalent():
    found = equivalence([0.0004, -0.0003, 0.0001, -0.0002, 0.0002], margin=0.002)
    assert found.shown and found.p < 0.001
    assert found.mean_difference == pytest.approx(0.00004)


def test_a_mean_beyond_the_margin_is_not_equivalent_either_way():
    differences = [0.010, 0.012, 0.011, 0.009]
    above, below = equivalence(differences, 0.002), equivalence([-d for d in differences], 0.002)
    assert above.shown is below.shown is False
    assert above.p == pytest.approx(below.p) and above.p > 0.99


def test_scatter_that_hides_a_difference_is_no_proof_of_equality():
    scattered = [0.03, -0.03, 0.02, -0.02]
    assert equivalence(scattered, margin=0.002).shown is False


def test_p_is_that_of_the_two_one_sided_t_tests():
    from scipy import stats

    differences = np.random.default_rng(5).normal(0.0006, 0.001, 12)
    below = stats.ttest_1samp(differences, -0.002, alternative="greater").pvalue
    above = stats.ttest_1samp(differences, 0.002, alternative="less").pvalue
    assert equivalence(differences.tolist(), 0.002).p == pytest.approx(max(below, above))


@pytest.mark.parametrize("mean", [0.0, 0.0008, -0.0012, 0.0016])
def test_the_90_percent_interval_lies_within_the_margin_just_where_equivalence_is_shown(mean):
    differences = (np.random.default_rng(6).normal(0, 0.001, 10) + mean).tolist()
    found = equivalence(differences, margin=0.0015)
    low, high = found.ci90
    assert low < found.mean_difference < high
    assert found.shown == (low > -0.0015 and high < 0.0015)


def test_two_runs_that_differ_by_the_margin_are_called_equivalent_one_time_in_twenty():
    draws = np.random.default_rng(7).normal(0.002, 0.001, (2000, 8))
    wrong = sum(bool(equivalence(row.tolist(), 0.002).shown) for row in draws)
    assert 0.035 <= wrong / 2000 <= 0.065


@pytest.mark.parametrize(
    ("difference", "margin", "shown"),
    [(0, 0.002, True), (0.001, 0.002, True), (0.003, 0.002, False), (0, 0, True)],
)
def test_differences_without_any_spread_are_compared_as_they_are(difference, margin, shown):
    found = equivalence([difference] * 4, margin)
    assert (found.shown, found.p, found.ci90) == (shown, 0.0 if shown else 1.0, (difference, difference))


@pytest.mark.parametrize("count", [1, 2])
def test_equivalence_is_not_tested_on_fewer_than_three_cases(count):
    found = equivalence([0.5] * count, margin=0.002)
    assert found == Equivalence(mean_difference=0.5, ci90=None, p=None, margin=0.002, count=count)
    assert found.shown is None


@pytest.mark.parametrize(
    ("differences", "margin"),
    [([], 0.1), ([0.1, math.nan, 0.1], 0.1), ([0.1] * 3, -1), ([0.1] * 3, math.nan)],
)
def test_equivalence_needs_finite_differences_and_a_margin(differences, margin):
    with pytest.raises(ValueError, match="margin of 0 or more"):
        equivalence(differences, margin)
