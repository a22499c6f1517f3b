"""Figures of predicted classes, for many weightings of the same cases at once."""

from collections.abc import Mapping

import numpy as np

Figures = Mapping[str, "np.ndarray | float"]
"""By name: a number, or one a class; NaN where undefined."""


def figures_of(truth: np.ndarray, shares: np.ndarray, weights: np.ndarray, bins: int) -> list[Figures]:
    """Every figure, for each weighting.

    Guo et al., On calibration of modern neural networks, ICML 2017, for the calibration error; Hand and Till,
    A simple generalisation of the area under the ROC curve, 2001, for what the AUC is, here one against the
    rest.

    Args:
        truth: ``(n,)`` class indices.
        shares: ``(n, K)`` probabilities.
        weights: ``(W, n)`` how often each case counts.
        bins: of the calibration error.
    """
    counts = _confusions(truth, shares, weights)
    hits, wanted, found = np.diagonal(counts, axis1=1, axis2=2), counts.sum(2), counts.sum(1)
    recall, precision = _ratio(hits, wanted), _ratio(hits, found)
    f1 = _ratio(2 * hits, wanted + found)
    auc = np.stack([_areas(truth == k, shares[:, k], weights) for k in range(shares.shape[1])], axis=1)
    errors = _calibration_errors(truth, shares, weights, bins)
    return [
        {
            "recall": recall[n],
            "precision": precision[n],
            "f1": f1[n],
            "auc": auc[n],
            "balanced_accuracy": _mean(recall[n]),
            "macro_f1": _mean(f1[n]),
            "macro_auc": _mean(auc[n]),
            "ece": float(errors[n]),
        }
        for n in range(len(weights))
    ]


def _confusions(truth: np.ndarray, shares: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``(W, K, K)``: a row a true class, a column a predicted one."""
    classes = shares.shape[1]
    pairs = np.eye(classes**2)[truth * classes + shares.argmax(1)]
    return np.asarray((weights @ pairs).reshape(-1, classes, classes))


def _areas(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve ``(W,)``: how probably a positive scores above a negative, ties for half."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    hits = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    misses = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    below = np.cumsum(misses, axis=1) - misses
    return _ratio((hits * (below + misses / 2)).sum(1), hits.sum(1) * misses.sum(1))


def _calibration_errors(truth: np.ndarray, shares: np.ndarray, weights: np.ndarray, bins: int) -> np.ndarray:
    """How far the predicted class's probability is from being right so often, mean over cases ``(W,)``."""
    most, right = shares.max(1), shares.argmax(1) == truth
    members = np.eye(bins)[np.minimum((most * bins).astype(int), bins - 1)]
    gaps = np.abs(weights @ (members * (most - right)[:, None]))
    return np.asarray(gaps.sum(1) / weights.sum(1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)


def _mean(values: np.ndarray) -> float:
    """Over the classes that have one."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
