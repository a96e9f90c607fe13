"""Estimates from log-weights, in float64: the one rule that serves every family of flows.

A log-weight is w = log p(x, u | c) - log q(u | x) for one noise draw u. All functions reduce the last axis.
Rows of -inf give -inf (the model's mass is zero there), rows with NaN give NaN; nothing is masked.
"""

from __future__ import annotations

import numpy as np

RELIABLE_SAMPLE_SIZE = 10.0
"""Below this effective sample size an estimate is called unreliable."""


def log_mean_exp(log_weights: np.ndarray) -> np.ndarray:
    """`log(1/K sum_k exp(w_k))` over the last axis: the importance estimate (Xiao 2019, eq. 11; Burda 2015, eq. 8).

    >>> float(log_mean_exp(np.log([1.0, 3.0])).round(12)) == round(float(np.log(2.0)), 12)
    True
    """
    return log_sum_exp(log_weights) - np.log(log_weights.shape[-1])


def log_sum_exp(log_weights: np.ndarray) -> np.ndarray:
    """`log sum_k exp(w_k)` over the last axis, shifted by the maximum."""
    scaled, top = _scaled(log_weights)
    with np.errstate(divide="ignore"):
        return np.log(scaled.sum(axis=-1)) + top


def standard_error(log_weights: np.ndarray) -> np.ndarray | None:
    """`sd(exp w) / (mean(exp w) sqrt(K))`: of the log of the mean, by the delta method; None for one draw."""
    draws = log_weights.shape[-1]
    if draws == 1:
        return None
    scaled, _ = _scaled(log_weights)
    with np.errstate(invalid="ignore"):
        mean = scaled.mean(axis=-1)
        spread = np.square(scaled - mean[..., None]).sum(axis=-1) / (draws - 1)
        error: np.ndarray = np.sqrt(spread / draws) / mean
    return error


def effective_sample_size(log_weights: np.ndarray) -> np.ndarray:
    """`(sum w)^2 / sum w^2` (Kish 1965), between 1 and K; 0 where every weight is zero."""
    scaled, _ = _scaled(log_weights)
    total, squares = scaled.sum(axis=-1), np.square(scaled).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        size: np.ndarray = np.divide(np.square(total), squares, out=np.zeros_like(total), where=squares != 0)
    return size


def blurred(log_weights: np.ndarray) -> np.ndarray:
    """`|w| eps > 1`, element by element: float32 scores of this size differ by no less than a nat.

    What such scores say of each other, and so the share of each draw, is what rounding left of it. False for -inf.
    """
    finite: np.ndarray = np.isfinite(log_weights) & (np.abs(log_weights) * np.finfo(np.float32).eps > 1)
    return finite


def normalized(log_weights: np.ndarray) -> np.ndarray:
    """`exp(w_k) / sum_j exp(w_j)` over the last axis; NaN where every weight is zero."""
    scaled, _ = _scaled(log_weights)
    with np.errstate(invalid="ignore"):
        shares: np.ndarray = scaled / scaled.sum(axis=-1, keepdims=True)
    return shares


def label_posterior(log_likelihoods: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """`p(k | x) = softmax_k(log p(k) + log p(x | k))`, shape (..., classes).

    `log_likelihoods` are already averaged over draws (`log_mean_exp`): the mean of each draw's softmax is something
    else, and wrong.
    """
    return normalized(log_likelihoods + log_prior(prior))


def log_prior(prior: np.ndarray) -> np.ndarray:
    """`log p(k)`, -inf for impossible classes."""
    with np.errstate(divide="ignore"):
        return np.log(prior)


def calibrated(posterior: np.ndarray, temperature: float) -> np.ndarray:
    """`softmax(log posterior / T)` (Guo 2017, section 4.2)."""
    return normalized(log_prior(posterior) / temperature)


def percentile(values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """`#{s < v} / n`: share of the sorted scores that are lower; NaN for NaN."""
    return np.where(np.isnan(values), np.nan, np.searchsorted(scores, values, side="left") / len(scores))


def p_value(values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """`min(1, 2 min(1 + #{s <= v}, 1 + #{s >= v}) / (n + 1))` against the sorted scores; NaN for NaN.

    A two-sided conformal p-value: for rows exchangeable with the scores, P(p <= a) <= a.
    """
    count = len(scores)
    at_most = np.searchsorted(scores, values, side="right")
    at_least = count - np.searchsorted(scores, values, side="left")
    two_sided = np.minimum(1.0, 2 * np.minimum(1 + at_most, 1 + at_least) / (count + 1))
    return np.where(np.isnan(values), np.nan, two_sided)


def bits_per_dim(log_likelihoods: np.ndarray, size: int) -> np.ndarray:
    """`-log p(x) / (D log 2)` for integer data of D elements."""
    return -log_likelihoods / (size * np.log(2.0))


def _scaled(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`exp(w - max w)` and `max w`; the maximum counts as 0 in the shift where it is -inf."""
    weights = np.ascontiguousarray(log_weights, dtype=np.float64)
    top = weights.max(axis=-1)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(over="ignore"):
        return np.exp(weights - shift[..., None]), shift
