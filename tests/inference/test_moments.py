"""Streaming moments are numpy's of the whole, however the rows were cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.moments import Moments

cuts = st.lists(st.integers(1, 60), min_size=1, max_size=5)


def fed(rows: np.ndarray, sizes: list[int], *, covariance: bool) -> Moments:
    moments, start, turn = Moments(rows.shape[1], covariance=covariance), 0, 0
    while start < len(rows):
        stop = start + sizes[turn % len(sizes)]
        moments.add(rows[start:stop])
        start, turn = stop, turn + 1
    return moments


@settings(max_examples=60, deadline=None)
@given(sizes=cuts, count=st.integers(2, 200), seed=st.integers(0, 100), far=st.sampled_from([0.0, 1e3, -1e6]))
def test_they_are_those_of_numpy(sizes: list[int], count: int, seed: int, far: float) -> None:
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(count, 3)) @ rng.normal(size=(3, 3)) + far).astype(np.float32)
    exact = rows.astype(np.float64)
    for covariance in (False, True):
        moments = fed(rows, sizes, covariance=covariance)
        np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(moments.variance, exact.var(axis=0, ddof=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(exact.T, ddof=1), rtol=1e-9, atol=1e-9)


def test_a_mean_that_is_large_beside_the_spread_costs_no_digits() -> None:
    rows = np.float64([[1e9], [1e9 + 1], [1e9 + 2]])
    assert fed(rows, [1], covariance=False).variance[0] == 1.0


def test_one_row_has_no_spread_and_what_is_not_finite_stays_in_its_column() -> None:
    assert np.isnan(fed(np.ones((1, 2)), [1], covariance=True).covariance).all()
    moments = fed(np.float32([[np.inf, 1], [0, 2], [1, 3]]), [2], covariance=False)
    assert np.isnan(moments.variance[0]) and moments.variance[1] == pytest.approx(1.0)
