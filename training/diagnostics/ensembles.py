"""How good a set of draws is as a forecast of one truth: continuous ranked probability score, PSNR."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def crps(samples: ArrayLike, truth: ArrayLike) -> float:
    """`mean (1/m sum_i |s_i - y| - 1/(2 m (m-1)) sum_ij |s_i - s_j|)`, in the units of y; lower is better.

    `samples` (rows, m >= 2, ...) draws of each row's `truth` (rows, ...); the mean runs over rows and elements. The
    second term has m (m-1) and not m^2 below it, so that the figure does not depend on m (the fair score; Ferro 2014).

    >>> round(crps([[0.0, 1.0]], [0.0]), 6), crps([[2.0, 2.0]], [0.5])
    (0.0, 1.5)
    """
    draws, target = np.asarray(samples, np.float64), np.asarray(truth, np.float64)
    if draws.ndim < 2 or draws.shape[1] < 2 or draws.shape[:1] + draws.shape[2:] != target.shape:
        raise ValueError(f"samples: expected (rows, m >= 2, ...) for truth {target.shape}, got {draws.shape}")
    count = draws.shape[1]
    error = np.abs(draws - target[:, None]).mean(axis=1)
    weight = (2.0 * np.arange(1, count + 1) - count - 1).reshape(1, count, *[1] * (draws.ndim - 2))
    spread = (weight * np.sort(draws, axis=1)).sum(axis=1) / (count * (count - 1))
    return float(np.mean(error - spread))


def psnr(estimate: ArrayLike, truth: ArrayLike, peak: float) -> float:
    """`mean over rows of 10 log10(peak^2 / mean squared error)` in decibels; infinite where a row is met exactly.

    >>> round(psnr([[[0.0, 0.0]]], [[[25.5, 25.5]]], peak=255.0), 6)
    20.0
    """
    first, second = np.asarray(estimate, np.float64), np.asarray(truth, np.float64)
    if first.shape != second.shape or first.ndim < 2:
        raise ValueError(f"estimate: expected the shape of truth, {second.shape}, rows first, got {first.shape}")
    error = ((first - second) ** 2).reshape(len(first), -1).mean(axis=1)
    with np.errstate(divide="ignore"):
        return float(np.mean(10.0 * np.log10(peak**2 / error)))
