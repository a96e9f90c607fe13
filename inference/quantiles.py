"""Quantiles of many columns that grow row by row, in bounded memory and with an error that is known beforehand.

The quantile at level p of n numbers is read at rank h = (n - 1) p of their order, linearly between the two nearest.
The number of rows is known when the question comes, so the best of three ways is chosen that fits into the memory:

- **exact**: all numbers are kept;
- **exact, by counting**, for integers: how often each value came;
- **a sketch**, deterministic, of the kind of Munro & Paterson 1980: level 0 takes the numbers; a level that has k of
  them is sorted and every other one moves up, where it weighs twice as much, the odd and the even places in turn. One
  such step at level l moves any rank by at most 2^l, and the next one of that level moves it the other way. So with c_l
  steps at level l a rank is wrong by at most `sum_l ceil(c_l / 2) 2^l`, about n log2(n / k) / 2 k: the stated error.
  The steps depend on the count alone: neither data nor chunks nor chance decide what is kept.
"""

from __future__ import annotations

from math import ceil
from typing import Protocol

import numpy as np


class Quantiles(Protocol):
    """Quantiles of rows with a fixed number of columns."""

    error: float
    """By how much a rank may be wrong at most, as a share of all rows; 0 is exact."""

    def add(self, rows: np.ndarray) -> None:
        """Take rows (n, columns)."""
        ...

    def at(self, levels: np.ndarray) -> np.ndarray:
        """(levels, columns) float64; NaN counts as larger than any number."""
        ...


class TooManyValues(ValueError):
    """The quantiles need more memory than they may take to be as right as they must be."""


def quantiles(rows: int, columns: int, values: int, *, integers: int | None = None, worst: float = 0.01) -> Quantiles:
    """The way to the quantiles of `rows` rows that keeps at most `values` numbers.

    Args:
        rows: how many will come.
        columns: values of each.
        values: numbers that may be kept.
        integers: rows hold integers 0..integers-1; None for real numbers.
        worst: the largest error of a rank that is good enough, as a share of `rows`.

    Raises:
        TooManyValues: no way is good enough.
    """
    if rows * columns <= values:
        return Sketch(rows, columns, rows + 1)
    if integers is not None and integers * columns <= values:
        return Counts(columns, integers)
    sketch = Sketch(rows, columns, _size(rows, values // columns))
    if sketch.error > worst:
        raise TooManyValues
    return sketch


def _size(rows: int, kept: int) -> int:
    """The largest even size of which as many levels as it takes fit into `kept`. Raises TooManyValues."""
    levels = 2
    while (size := kept // levels // 2 * 2) << (levels - 1) <= rows:
        levels += 1
        if size < 2:
            raise TooManyValues
    return size


class Sketch:
    """Buffers of `size` numbers per column, one for each level; `size` > `rows` keeps all of them.

    >>> sketch = Sketch(rows=5, columns=1, size=6)
    >>> sketch.add(np.array([[4.0], [1.0], [3.0], [2.0], [5.0]]))
    >>> sketch.at(np.array([0.5, 0.9])).ravel().tolist(), sketch.error
    ([3.0, 4.6], 0.0)
    """

    def __init__(self, rows: int, columns: int, size: int) -> None:
        self._columns, self._size = columns, size
        self._levels: list[_Level] = []
        wrong, steps, weight = 0, rows // size, 1
        while steps:
            wrong += ceil(steps / 2) * weight
            steps, weight = steps // 2, 2 * weight
        self.error = wrong / rows

    def add(self, rows: np.ndarray) -> None:
        """Take rows (n, columns)."""
        self._put(0, rows.T)

    def at(self, levels: np.ndarray) -> np.ndarray:
        """See Quantiles."""
        weights = np.concatenate([np.full(level.filled, 1 << place) for place, level in enumerate(self._levels)])
        ranks = _Ranks(levels, int(weights.sum()))
        answer = np.empty((len(levels), self._columns))
        for column in range(self._columns):
            numbers = np.concatenate([level.numbers[column, : level.filled] for level in self._levels])
            order = np.argsort(numbers, kind="stable")
            answer[:, column] = ranks.read(np.cumsum(weights[order]), numbers[order])
        return answer

    def _put(self, place: int, numbers: np.ndarray) -> None:
        if place == len(self._levels):
            self._levels.append(_Level(self._columns, self._size, numbers.dtype))
        level = self._levels[place]
        start = 0
        while start < numbers.shape[1]:
            taken = level.take(numbers[:, start:])
            start += taken
            if level.filled == self._size:
                self._put(place + 1, level.halve())


class _Level:
    """One buffer (columns, size); grows by doubling, so that few rows take little memory."""

    def __init__(self, columns: int, size: int, dtype: np.dtype) -> None:
        self.numbers = np.empty((columns, min(size, 256)), dtype)
        self.filled = 0
        self._size, self._second = size, False

    def take(self, numbers: np.ndarray) -> int:
        """Copy what there is room for; returns how many per column."""
        taken = min(numbers.shape[1], self._size - self.filled)
        wanted = self.filled + taken
        if wanted > self.numbers.shape[1]:
            grown = np.empty(
                (len(self.numbers), min(self._size, max(wanted, 2 * self.numbers.shape[1]))), numbers.dtype
            )
            grown[:, : self.filled] = self.numbers[:, : self.filled]
            self.numbers = grown
        self.numbers[:, self.filled : wanted] = numbers[:, :taken]
        self.filled = wanted
        return taken

    def halve(self) -> np.ndarray:
        """Every other number of the sorted buffer, which is empty then; the even places and the odd ones in turn."""
        self.numbers.sort(axis=1)
        kept = self.numbers[:, int(self._second) :: 2].copy()
        self._second = not self._second
        self.filled = 0
        return kept


class Counts:
    """How often each of the integers 0..levels-1 came, per column.

    >>> counts = Counts(columns=1, integers=4)
    >>> counts.add(np.array([[0], [3], [3], [1]]))
    >>> counts.at(np.array([0.0, 0.5, 1.0])).ravel().tolist()
    [0.0, 2.0, 3.0]
    """

    error = 0.0

    def __init__(self, columns: int, integers: int) -> None:
        self._counts = np.zeros((columns, integers), np.int64)

    def add(self, rows: np.ndarray) -> None:
        """Take rows (n, columns) of integers."""
        columns, integers = self._counts.shape
        places = rows.astype(np.int64) + integers * np.arange(columns)
        self._counts += np.bincount(places.ravel(), minlength=columns * integers).reshape(columns, integers)

    def at(self, levels: np.ndarray) -> np.ndarray:
        """See Quantiles."""
        values = np.arange(self._counts.shape[1])
        ends = np.cumsum(self._counts, axis=1)
        ranks = _Ranks(levels, int(ends[0, -1]))
        return np.stack([ranks.read(column, values) for column in ends], axis=1)


class _Ranks:
    """h = (n - 1) p and the two whole ranks around it, for each level p."""

    def __init__(self, levels: np.ndarray, count: int) -> None:
        place = (count - 1) * levels
        self._low = np.floor(place).astype(np.int64)
        self._high = np.ceil(place).astype(np.int64)
        self._share = place - self._low

    def read(self, ends: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The quantiles of sorted `numbers` of which number i stands for the ranks below `ends[i]`."""
        low = numbers[np.searchsorted(ends, self._low, side="right")].astype(np.float64)
        high = numbers[np.searchsorted(ends, self._high, side="right")].astype(np.float64)
        with np.errstate(invalid="ignore"):
            between = low + self._share * (high - low)
        return np.where(low == high, low, between)
