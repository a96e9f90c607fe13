from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from training.diagnostics.ensembles import crps, psnr


def test_crps_equals_the_double_sum() -> None:
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(7, 5, 2)), rng.normal(size=(7, 2))
    error = np.abs(samples - truth[:, None]).mean(axis=1)
    pairs = np.abs(samples[:, :, None] - samples[:, None]).sum(axis=(1, 2)) / (2 * 5 * 4)
    assert crps(samples, truth) == pytest.approx(float(np.mean(error - pairs)))


@pytest.mark.parametrize("draws", [2, 8])
def test_crps_of_normal_draws_is_the_closed_form_whatever_their_number(draws: int) -> None:
    y = 0.7
    closed = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi)
    samples = np.random.default_rng(1).normal(size=(200_000, draws))
    assert crps(samples, np.full(200_000, y)) == pytest.approx(closed, abs=0.006)


def test_psnr_is_the_mean_over_rows_and_knows_the_peak() -> None:
    truth = np.zeros((2, 1, 2, 2))
    estimate = np.stack([np.full((1, 2, 2), 1.0), np.full((1, 2, 2), 0.1)])
    assert psnr(estimate, truth, peak=1.0) == pytest.approx((0.0 + 20.0) / 2)
    assert psnr(estimate, truth, peak=10.0) == pytest.approx((20.0 + 40.0) / 2)
    assert psnr(truth, truth, peak=1.0) == np.inf


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="samples"):
        crps(np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="shape of truth"):
        psnr(np.zeros((1, 2)), np.zeros((1, 3)), peak=1.0)
