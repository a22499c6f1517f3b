"""What predicted classes are worth together; scikit-learn is the independent reader."""

import numpy as np
import pytest
from sklearn import metrics

from segline.evaluation.class_scores import ClassScores

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def cases() -> tuple[np.ndarray, np.ndarray]:
    """True classes ``(n,)`` and probabilities ``(n, 4)``, with ties."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, 200)
    scores = rng.normal(size=(200, 4)).round(1)
    scores[np.arange(200), truth] += 1.2
    shares = np.exp(scores)
    return truth, shares / shares.sum(1, keepdims=True)


@pytest.fixture(scope="module")
def scores(cases: tuple[np.ndarray, np.ndarray]) -> ClassScores:
    return ClassScores.of(NAMES, *cases)


def test_figures_are_scikit_learns(scores: ClassScores, cases: tuple[np.ndarray, np.ndarray]) -> None:
    truth, shares = cases
    found = shares.argmax(1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, found)
    for index, name in enumerate(NAMES):
        of = {figure: measure.value for figure, measure in scores.by_class[name].items()}
        auc = metrics.roc_auc_score(truth == index, shares[:, index])
        assert of == pytest.approx(
            {"precision": precision[index], "recall": recall[index], "f1": f1[index], "auc": auc}
        )
    assert scores.overall["balanced_accuracy"].value == pytest.approx(
        metrics.balanced_accuracy_score(truth, found)
    )
    assert scores.overall["macro_auc"].value == pytest.approx(
        metrics.roc_auc_score(truth, shares, multi_class="ovr", average="macro")
    )
    np.testing.assert_array_equal(scores.confusion, metrics.confusion_matrix(truth, found))


def test_an_interval_holds_its_figure_and_narrows_with_cases(
    scores: ClassScores, cases: tuple[np.ndarray, np.ndarray]
) -> None:
    truth, shares = cases
    more = ClassScores.of(NAMES, np.tile(truth, 9), np.tile(shares, (9, 1)))
    for figure, measure in scores.overall.items():
        assert measure.ci95 is not None and measure.value is not None
        low, high = measure.ci95
        narrow = more.overall[figure].ci95
        assert narrow is not None and (narrow[1] - narrow[0]) < 0.5 * (high - low)
        if figure != "ece":  # which is above 0 by chance, and more so in fewer cases
            assert low <= measure.value <= high


def test_the_calibration_error_is_how_far_probabilities_are_off() -> None:
    shares = np.array([[0.8, 0.2]] * 10)
    right = ClassScores.of(("a", "b"), [0] * 8 + [1] * 2, shares)
    assert right.overall["ece"].value == pytest.approx(0)
    sure = ClassScores.of(("a", "b"), [0] * 5 + [1] * 5, shares)
    assert sure.overall["ece"].value == pytest.approx(0.3)
    (only,) = sure.reliability
    assert (only.count, only.probability, only.accuracy) == (10, pytest.approx(0.8), 0.5)


def test_what_is_undefined_is_none_and_takes_no_part_in_the_mean() -> None:
    scores = ClassScores.of(("a", "b", "c"), [0, 0, 1, 1], np.eye(3)[[0, 0, 1, 0]])
    assert scores.by_class["c"]["precision"].value is None and scores.by_class["c"]["auc"].value is None
    assert scores.overall["balanced_accuracy"].value == 0.75
    assert ClassScores.of(("a", "b"), [0], [[0.5, 0.5]]).overall["balanced_accuracy"].ci95 is None


def test_folds_together_are_their_cases_together(cases: tuple[np.ndarray, np.ndarray]) -> None:
    truth, shares = cases
    parts = [ClassScores.of(NAMES, truth[part], shares[part]) for part in (slice(0, 90), slice(90, 200))]
    assert ClassScores.total(parts) == ClassScores.of(NAMES, truth, shares)
