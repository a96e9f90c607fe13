"""Quantiles: exact where they say so, else within their stated error, and the same however the rows were cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.quantiles import Counts, Quantiles, Sketch, TooManyValues, quantiles

LEVELS = np.array([0.0, 0.025, 0.25, 0.5, 0.9, 0.999, 1.0])
ORDERS = ("random", "rising", "falling", "organ", "ties", "saw")


def numbers(order: str, count: int) -> np.ndarray:
    """One column in an order that could mislead a sketch."""
    rising = np.arange(count, dtype=np.float32)
    match order:
        case "random":
            return np.random.default_rng(count).normal(size=count).astype(np.float32)
        case "falling":
            return rising[::-1].copy()
        case "organ":
            return np.abs(rising - count / 2)
        case "ties":
            return rising % 3
        case "saw":
            return rising * 7919 % 1009
    return rising


def fed(way: Quantiles, rows: np.ndarray, piece: int) -> Quantiles:
    for start in range(0, len(rows), piece):
        way.add(rows[start : start + piece])
    return way


def worst_rank(column: np.ndarray, levels: np.ndarray, got: np.ndarray) -> float:
    """By how much the ranks of `got` miss (n - 1) p, as a share of n; numbers between two have both their ranks."""
    column = np.sort(column)
    place = levels * (len(column) - 1)
    first = np.searchsorted(column, got, side="left") - 1
    last = np.searchsorted(column, got, side="right")
    return float(np.maximum(0, np.maximum(first - place, place - last)).max() / len(column))


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 400), piece=st.integers(1, 500), seed=st.integers(0, 50))
def test_few_rows_are_exact(count: int, piece: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    way = fed(quantiles(count, 3, 1200), rows, piece)
    assert way.error == 0
    np.testing.assert_allclose(way.at(LEVELS), np.quantile(rows.astype(np.float64), LEVELS, axis=0), rtol=1e-12)


@settings(max_examples=80, deadline=None)
@given(order=st.sampled_from(ORDERS), count=st.integers(30, 6000), size=st.integers(1, 40))
def test_the_sketch_keeps_to_its_error(order: str, count: int, size: int) -> None:
    column = numbers(order, count)
    levels = np.linspace(0, 1, 41)
    way = fed(Sketch(count, 1, 2 * size), column[:, None], 97)
    got = way.at(levels)[:, 0]
    assert worst_rank(column, levels, got) <= way.error + 1 / count


def test_the_error_is_not_stated_at_random() -> None:
    """A sketch of far too little memory is wrong by about what it says: the bound is no formality."""
    column = numbers("rising", 4096)
    way = fed(Sketch(4096, 1, 2), column[:, None], 4096)
    assert 0.0 < worst_rank(column, np.linspace(0, 1, 401), way.at(np.linspace(0, 1, 401))[:, 0]) <= way.error


@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(st.integers(1, 700), min_size=1, max_size=5))
def test_the_sketch_does_not_depend_on_the_pieces(pieces: list[int]) -> None:
    rows = np.random.default_rng(3).normal(size=(3000, 2)).astype(np.float32)
    whole, cut, start, turn = Sketch(3000, 2, 64), Sketch(3000, 2, 64), 0, 0
    whole.add(rows)
    while start < 3000:
        stop = start + pieces[turn % len(pieces)]
        cut.add(rows[start:stop])
        start, turn = stop, turn + 1
    np.testing.assert_array_equal(cut.at(LEVELS), whole.at(LEVELS))


def test_a_hundred_thousand_rows_in_bounded_memory() -> None:
    rows = np.random.default_rng(0).normal(size=(100_000, 4)).astype(np.float32)
    way = quantiles(100_000, 4, 40_000)
    assert isinstance(way, Sketch) and 0 < way.error < 0.005
    fed(way, rows, 4096)
    held = sum(level.numbers.size for level in way._levels)
    assert held <= 40_000
    for column, got in zip(rows.T, way.at(LEVELS).T, strict=True):
        assert worst_rank(column, LEVELS, got) <= way.error


def test_integers_are_counted_exactly() -> None:
    rows = np.random.default_rng(0).integers(0, 17, size=(5000, 3)).astype(np.uint8)
    way = fed(quantiles(5000, 3, 100, integers=17), rows, 333)
    assert isinstance(way, Counts) and way.error == 0
    np.testing.assert_allclose(way.at(LEVELS), np.quantile(rows, LEVELS, axis=0), rtol=1e-12)


@pytest.mark.parametrize("values", [3, 10, 200])
def test_too_little_memory_is_refused(values: int) -> None:
    with pytest.raises(TooManyValues):
        quantiles(100_000, 4, values)


def test_infinite_numbers_are_numbers_and_nan_comes_last() -> None:
    way = fed(Sketch(4, 1, 5), np.float32([[np.inf], [1], [-np.inf], [np.nan]]), 4)
    assert way.at(np.array([0.0, 1 / 3, 2 / 3, 1.0])).ravel().tolist()[:3] == [-np.inf, 1.0, np.inf]
    assert np.isnan(way.at(np.array([1.0])))
