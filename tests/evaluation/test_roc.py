from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import special

from segline.evaluation.roc import LEVELS, ScoreCounts, score_levels


def counts_of(leads: np.ndarray, truth: np.ndarray) -> ScoreCounts:
    return ScoreCounts.of(score_levels(leads), truth)


def noisy(seed: int = 0, size: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Scores that tell foreground from background, with errors."""
    generator = np.random.default_rng(seed)
    truth = (generator.random(size) < 0.2).astype(np.uint8)
    leads = generator.normal(2.0 * truth - 2, 1.5)
    return leads.astype(np.float32)[None], truth


def area_by_ranks(leads: np.ndarray, truth: np.ndarray) -> float:
    """Chance that a voxel of the foreground scores above one of the background (Mann and Whitney)."""
    ranks = leads.argsort().argsort() + 1
    inside = truth > 0
    positives, negatives = inside.sum(), (~inside).sum()
    return float((ranks[inside].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def test_the_area_is_the_chance_that_foreground_scores_higher() -> None:
    leads, truth = noisy()
    roc = counts_of(leads, truth).roc()
    assert roc is not None
    assert roc.area == pytest.approx(area_by_ranks(leads[0], truth), abs=5e-4)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_a_point_holds_the_rates_at_its_threshold(probability: float) -> None:
    leads, truth = noisy()
    roc = counts_of(leads, truth).roc()
    assert roc is not None
    point = int(np.abs(np.array(roc.threshold) - probability).argmin())
    positive = special.expit(leads[0]) >= roc.threshold[point]
    assert roc.true_positive_rate[point] == pytest.approx(positive[truth > 0].mean(), abs=1e-6)
    assert roc.false_positive_rate[point] == pytest.approx(positive[truth == 0].mean(), abs=1e-6)


def test_the_curve_goes_from_nothing_found_to_everything_found() -> None:
    roc = counts_of(*noisy()).roc()
    assert roc is not None
    rates = (roc.false_positive_rate, roc.true_positive_rate)
    assert [rate[0] for rate in rates] == [0, 0] and [rate[-1] for rate in rates] == [1, 1]
    assert roc.threshold[0] == 1
    for rate in rates:
        assert list(rate) == sorted(rate)
    assert list(roc.threshold) == sorted(roc.threshold, reverse=True)


def test_no_point_is_there_twice() -> None:
    roc = counts_of(np.array([[-50.0, -3, 3, 50]], np.float32), np.array([0, 0, 1, 1])).roc()
    assert roc is not None
    points = list(zip(roc.false_positive_rate, roc.true_positive_rate, strict=True))
    assert points == [(0, 0), (0, 0.5), (0, 1), (0.5, 1), (1, 1)]
    assert roc.area == 1


def test_of_several_labels_the_score_is_that_of_any() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    foreground = 1 - special.softmax(scores, axis=0)[0]
    expected = np.floor(np.clip(special.logit(foreground) * 8 + 128, 0, 255))
    levels = score_levels(scores[1:] - scores[:1])
    assert levels.dtype == np.uint8
    assert np.abs(levels - expected).max() <= 1
    of_a_tensor = score_levels(torch.from_numpy(scores[1:] - scores[:1]))
    assert isinstance(of_a_tensor, np.ndarray) and np.abs(of_a_tensor - expected).max() <= 1


def test_the_scores_are_left_as_they_are() -> None:
    leads = np.random.default_rng(0).normal(size=(1, 4, 4, 4)).astype(np.float32)
    before = leads.copy()
    score_levels(leads)
    assert np.array_equal(leads, before)


def test_cases_add_up() -> None:
    leads, truth = noisy()
    halves = [counts_of(leads[:, part], truth[part]) for part in (slice(0, 9999), slice(9999, None))]
    assert ScoreCounts.total(halves) == counts_of(leads, truth)


@pytest.mark.parametrize("truth", [[0, 0], [1, 1]])
def test_there_is_no_curve_of_one_kind_of_voxel(truth: Sequence[int]) -> None:
    counted = counts_of(np.array([[-1.0, 1]], np.float32), np.array(truth))
    assert sum(counted.foreground) + sum(counted.background) == 2
    assert len(counted.foreground) == LEVELS
    assert counted.roc() is None
