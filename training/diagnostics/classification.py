"""How good inferred labels are: accuracy, negative log-likelihood, Brier score, confusion matrix.

All functions take `log_posterior`, the normalised natural logarithms log p(k | x) of shape (rows, classes): a joint
flow at a small eps puts e^-100 on wrong classes, which probabilities in floating point would round to zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def normalise(log_weights: ArrayLike) -> Floats:
    """`log p_k = log w_k - log sum_j w_j`, along the last axis.

    >>> np.exp(normalise([[0.0, np.log(3.0)]])).round(6).tolist()
    [[0.25, 0.75]]
    """
    values = np.asarray(log_weights, np.float64)
    shifted = values - values.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def accuracy(log_posterior: ArrayLike, labels: ArrayLike) -> float:
    """`mean 1[argmax_k log p(k | x) = y]`: the share of rows whose most probable class is the true one.

    >>> accuracy(np.log([[0.9, 0.1], [0.8, 0.2]]), [0, 1])
    0.5
    """
    log_posterior, labels = _check(log_posterior, labels)
    return float(np.mean(log_posterior.argmax(axis=1) == labels))


def label_nll(log_posterior: ArrayLike, labels: ArrayLike) -> float:
    """`-mean log p(y | x)` in nats: a proper score, 0 at best, log(classes) for a uniform guess.

    >>> round(label_nll(np.log([[0.5, 0.5], [0.25, 0.75]]), [0, 1]), 6)
    0.490415
    """
    log_posterior, labels = _check(log_posterior, labels)
    return float(-np.mean(log_posterior[np.arange(len(labels)), labels]))


def brier(log_posterior: ArrayLike, labels: ArrayLike) -> float:
    """`mean sum_k (p_k - 1[k = y])^2`, the original multi-class score (Brier 1950): from 0 to 2.

    >>> round(brier(np.log([[0.5, 0.5]]), [0]), 6)
    0.5
    """
    log_posterior, labels = _check(log_posterior, labels)
    error = np.exp(log_posterior)
    error[np.arange(len(labels)), labels] -= 1.0
    return float(np.mean((error**2).sum(axis=1)))


def confusion(log_posterior: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """`C[i, j]` = rows of true class i whose most probable class is j; shape (classes, classes).

    >>> confusion(np.log([[0.9, 0.1], [0.8, 0.2]]), [0, 1]).tolist()
    [[1, 0], [1, 0]]
    """
    log_posterior, labels = _check(log_posterior, labels)
    classes = log_posterior.shape[1]
    flat = labels * classes + log_posterior.argmax(axis=1)
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def _check(log_posterior: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    values, index = np.asarray(log_posterior, np.float64), np.asarray(labels)
    if values.ndim != 2 or index.shape != values.shape[:1]:
        raise ValueError(
            f"expected log_posterior (rows, classes) and labels (rows,), got {values.shape}, {index.shape}"
        )
    if not len(index):
        raise ValueError("labels: expected at least one row")
    if index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= values.shape[1]:
        raise ValueError(f"labels: expected integers 0..{values.shape[1] - 1}")
    if not np.allclose(np.exp(values).sum(axis=1), 1.0, atol=1e-4):
        raise ValueError("log_posterior: expected rows whose probabilities sum to one")
    return values, index.astype(np.int64)
