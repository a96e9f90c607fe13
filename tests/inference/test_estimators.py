"""Estimators against brute force in extended precision, and their behaviour at -inf and NaN."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import estimators

RNG = np.random.default_rng(5)
WEIGHTS = RNG.normal(0, 4, (6, 40)) + np.array([0, 500, -500, 3, 1e4, -1e4])[:, None]
EXTENDED = WEIGHTS.astype(np.longdouble)


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def brute(function) -> np.ndarray:
    """Row by row in extended precision, after dividing out the mean weight, which only shifts the log."""
    return np.array([function(np.exp(row - row.max()), row.max()) for row in EXTENDED], dtype=np.float64)


def test_log_mean_exp() -> None:
    wanted = brute(lambda w, top: top + np.log(w.mean()))
    np.testing.assert_allclose(estimators.log_mean_exp(WEIGHTS), wanted, rtol=1e-13)


def test_standard_error_is_the_delta_method() -> None:
    wanted = brute(lambda w, top: w.std(ddof=1) / w.mean() / np.sqrt(len(w)))
    np.testing.assert_allclose(estimators.standard_error(WEIGHTS), wanted, rtol=1e-12)
    assert estimators.standard_error(WEIGHTS[:, :1]) is None


def test_effective_sample_size() -> None:
    wanted = brute(lambda w, top: w.sum() ** 2 / (w**2).sum())
    np.testing.assert_allclose(estimators.effective_sample_size(WEIGHTS), wanted, rtol=1e-12)
    np.testing.assert_allclose(estimators.effective_sample_size(np.full((1, 7), -3.0)), 7)


def test_standard_error_predicts_the_spread() -> None:
    """Log-normal weights: the estimate's spread over repetitions is what the standard error says."""
    weights = RNG.normal(0, 0.5, (4000, 200))
    estimates = estimators.log_mean_exp(weights)
    assert abs(estimates.mean() - 0.125) < 0.01
    assert abs(np.mean(estimators.standard_error(weights)) / estimates.std() - 1) < 0.05


def test_label_posterior_is_not_the_mean_of_softmaxes() -> None:
    weights = np.log(np.array([[[0.9, 0.1], [0.02, 0.06]]]))  # (rows, draws, classes)
    prior = np.array([0.25, 0.75])
    by_class = estimators.log_mean_exp(weights.transpose(0, 2, 1))
    posterior = estimators.label_posterior(by_class, prior)
    mass = prior * np.array([0.92, 0.16])
    np.testing.assert_allclose(posterior[0], mass / mass.sum(), rtol=1e-12)
    softmaxes = np.stack([estimators.label_posterior(weights[:, draw], prior) for draw in range(2)])
    assert np.abs(softmaxes.mean(axis=0) - posterior).max() > 0.1


def test_calibration_is_a_temperature() -> None:
    posterior = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    warm = estimators.calibrated(posterior, 2.0)
    np.testing.assert_allclose(warm[0], np.sqrt(posterior[0]) / np.sqrt(posterior[0]).sum(), rtol=1e-12)
    np.testing.assert_array_equal(warm[1], posterior[1])
    np.testing.assert_allclose(estimators.calibrated(posterior, 1.0), posterior, rtol=1e-12)


@pytest.mark.parametrize(
    ("weights", "mean", "size", "share"),
    [
        ([-np.inf, -np.inf], -np.inf, 0.0, np.nan),
        ([0.0, -np.inf], -np.log(2), 1.0, 1.0),
        ([np.nan, 0.0], np.nan, np.nan, np.nan),
    ],
)
def test_rows_without_mass(weights: list[float], mean: float, size: float, share: float) -> None:
    row = np.array([weights, [1.0, 1.0]])
    np.testing.assert_allclose(estimators.log_mean_exp(row), [mean, 1.0])
    np.testing.assert_allclose(estimators.effective_sample_size(row), [size, 2.0])
    np.testing.assert_allclose(estimators.normalized(row)[:, 0], [share, 0.5])
    assert estimators.standard_error(row)[1] == 0


def test_impossible_classes() -> None:
    posterior = estimators.label_posterior(np.array([[5.0, -2.0]]), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(posterior, [[0.0, 1.0]])


@pytest.mark.parametrize(
    ("value", "percentile", "p_value"),
    [
        # scores 1 2 2 3: percentile = #lower / 4; p = min(1, 2 min(1 + #<=, 1 + #>=) / 5)
        (-np.inf, 0.0, 2 / 5),
        (0.5, 0.0, 2 / 5),
        (1.0, 0.0, 4 / 5),
        (1.5, 0.25, 4 / 5),
        (2.0, 0.25, 1.0),
        (2.5, 0.75, 4 / 5),
        (3.0, 0.75, 4 / 5),
        (9.0, 1.0, 2 / 5),
        (np.nan, np.nan, np.nan),
    ],
)
def test_percentile_and_p_value(value: float, percentile: float, p_value: float) -> None:
    scores = np.array([1.0, 2.0, 2.0, 3.0])
    np.testing.assert_allclose(estimators.percentile(np.array([value]), scores), [percentile])
    np.testing.assert_allclose(estimators.p_value(np.array([value]), scores), [p_value])


@settings(max_examples=100, deadline=None)
@given(
    scores=st.lists(st.integers(-5, 5), min_size=1, max_size=20),
    value=st.integers(-6, 6),
)
def test_p_value_by_counting(scores: list[int], value: int) -> None:
    lower = 1 + sum(score <= value for score in scores)
    higher = 1 + sum(score >= value for score in scores)
    wanted = min(1.0, 2 * min(lower, higher) / (len(scores) + 1))
    found = estimators.p_value(np.array([float(value)]), np.sort(np.array(scores, dtype=float)))
    assert found[0] == pytest.approx(wanted, abs=1e-15)
    share = estimators.percentile(np.array([float(value)]), np.sort(np.array(scores, dtype=float)))
    assert share[0] == pytest.approx(sum(score < value for score in scores) / len(scores), abs=1e-15)


def test_p_values_are_valid() -> None:
    """For a new draw of the same law as the scores, P(p <= a) <= a."""
    values = RNG.normal(size=(4000, 100))
    p = np.array([estimators.p_value(row[:1], np.sort(row[1:]))[0] for row in values])
    for level in (0.05, 0.1, 0.3):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level / 4000)


def test_bits_per_dim() -> None:
    np.testing.assert_allclose(estimators.bits_per_dim(np.array([-8 * np.log(2)]), 4), [2.0])
