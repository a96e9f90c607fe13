"""Whether a confidence of 80 % is right 80 % of the time, and the one temperature that makes it so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from training.diagnostics.classification import Floats, label_nll, normalise


@dataclass(frozen=True)
class Reliability:
    """Top-label confidences in equal-width bins; `confidence` and `accuracy` are NaN where a bin is empty."""

    edges: Floats
    count: Floats
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float:
        """`sum_b n_b / n * abs(accuracy_b - confidence_b)` (Naeini 2015; Guo 2017, eq. 3)."""
        full = self.count > 0
        gap = np.abs(self.accuracy[full] - self.confidence[full])
        return float((self.count[full] * gap).sum() / self.count.sum())


def reliability(log_posterior: ArrayLike, labels: ArrayLike, bins: int = 15) -> Reliability:
    """Mean confidence and accuracy of the top label in the bins `((b-1)/B, b/B]`, b = 1..B (Guo 2017).

    `log_posterior` (rows, classes) normalised, `labels` (rows,).

    >>> curve = reliability(np.log([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]), [0, 1, 1], bins=2)
    >>> curve.count.tolist(), curve.accuracy.round(4).tolist(), round(curve.ece, 4)
    ([0.0, 3.0], [nan, 0.6667], 0.1333)
    """
    log_posterior, labels = np.asarray(log_posterior, np.float64), np.asarray(labels)
    confidence = np.exp(log_posterior.max(axis=1))
    right = (log_posterior.argmax(axis=1) == labels).astype(np.float64)
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(index, confidence, bins) / count
        mean_accuracy = np.bincount(index, right, bins) / count
    return Reliability(np.linspace(0.0, 1.0, bins + 1), count, mean_confidence, mean_accuracy)


def ece(log_posterior: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """The expected calibration error of the top label over `bins` equal-width bins, in [0, 1].

    >>> round(ece(np.log([[0.9, 0.1]] * 4), [0, 0, 1, 1]), 4)
    0.4
    """
    return reliability(log_posterior, labels, bins).ece


def temper(log_posterior: ArrayLike, temperature: float) -> Floats:
    """`log softmax_k(log p_k / T)`: hotter is less sure, and the most probable class stays the same.

    >>> np.exp(temper(np.log([[0.2, 0.8]]), 0.5)).round(4).tolist()
    [[0.0588, 0.9412]]
    """
    if not temperature > 0:
        raise ValueError(f"temperature: expected a positive number, got {temperature}")
    return normalise(np.asarray(log_posterior, np.float64) / temperature)


def fit_temperature(log_posterior: ArrayLike, labels: ArrayLike, bounds: tuple[float, float] = (1e-3, 1e3)) -> float:
    """`argmin_T -mean log softmax(log p / T)[y]` (Guo 2017, section 4.2), searched in log T within `bounds`.

    The objective is convex in 1/T, so the one minimum is the global one. Fit on validation rows, never on test rows.

    >>> sharp = np.log([[0.999, 0.001]] * 4)
    >>> T = fit_temperature(sharp, [0, 0, 0, 1])
    >>> np.exp(temper(sharp, T))[0].round(3).tolist()
    [0.75, 0.25]
    """
    values = np.asarray(log_posterior, np.float64)
    found = minimize_scalar(
        lambda log_t: label_nll(temper(values, float(np.exp(log_t))), labels),
        bounds=(float(np.log(bounds[0])), float(np.log(bounds[1]))),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))
