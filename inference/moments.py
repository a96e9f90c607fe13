"""Mean, standard deviation and covariance of rows that come in pieces, in float64.

With n rows of mean m and scatter M2 = sum (x - m)(x - m)^T seen, and n' rows with m', M2' to come, d = m' - m:
`m += d n'/(n + n')` and `M2 += M2' + d d^T n n'/(n + n')` (Chan, Golub & LeVeque 1983; Welford 1962 for n' = 1).
Never the difference of two large sums, so a mean that is large beside the spread costs no digits.
"""

from __future__ import annotations

import numpy as np


class Moments:
    """Of rows with `size` values; the memory is `size` numbers, or size^2 with `covariance`.

    >>> moments = Moments(1)
    >>> moments.add(np.array([[1.0], [2.0]])); moments.add(np.array([[6.0]]))
    >>> moments.mean.tolist(), moments.variance.tolist()
    ([3.0], [7.0])
    """

    def __init__(self, size: int, *, covariance: bool = False) -> None:
        self.count = 0
        self.mean = np.zeros(size)
        self._crossed = covariance
        self._scatter = np.zeros((size, size) if covariance else size)

    def add(self, rows: np.ndarray) -> None:
        """Take rows (n, size). What is not finite makes the moments of its column NaN."""
        new = len(rows)
        if new == 0:
            return
        with np.errstate(invalid="ignore", over="ignore"):
            values = rows.astype(np.float64)
            mean = values.mean(axis=0)
            values -= mean
            step = mean - self.mean
            total = self.count + new
            share = self.count * new / total
            if self._crossed:
                self._scatter += values.T @ values + np.outer(step, step) * share
            else:
                self._scatter += np.einsum("ij,ij->j", values, values) + step * step * share
            self.mean += step * (new / total)
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """M2 / (n - 1), (size, size); NaN for fewer than two rows."""
        return self._scatter / (self.count - 1) if self.count > 1 else np.full_like(self._scatter, np.nan)

    @property
    def variance(self) -> np.ndarray:
        """Its diagonal, (size,)."""
        return np.diagonal(self.covariance) if self._crossed else self.covariance
