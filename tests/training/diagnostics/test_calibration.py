from __future__ import annotations

import numpy as np
import pytest

from training.diagnostics.calibration import ece, fit_temperature, reliability, temper
from training.diagnostics.classification import label_nll, normalise


def drawn(rows: int, temperature: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Posteriors, and labels drawn from them at a temperature."""
    rng = np.random.default_rng(seed)
    log_p = normalise(2.0 * rng.normal(size=(rows, 5)))
    share = np.exp(temper(log_p, temperature)).cumsum(axis=1)
    labels = np.minimum((rng.random(rows)[:, None] > share).sum(axis=1), 4)
    return log_p, labels


def test_ece_equals_the_sum_over_bins_written_out() -> None:
    log_p, labels = drawn(500)
    total = 0.0
    for b in range(15):
        inside = [i for i in range(500) if b / 15 < np.exp(log_p[i].max()) <= (b + 1) / 15]
        if inside:
            confidence = np.mean([np.exp(log_p[i].max()) for i in inside])
            right = np.mean([log_p[i].argmax() == labels[i] for i in inside])
            total += len(inside) / 500 * abs(right - confidence)
    assert ece(log_p, labels) == pytest.approx(total)
    # Other numbers of bins answer otherwise, so the equality above sees the bins.
    assert abs(ece(log_p, labels, bins=4) - total) > 1e-4


def test_bins_have_equal_width_and_own_their_right_edge() -> None:
    log_p = np.log([[0.75, 0.25], [0.7501, 0.2499], [1.0 - 1e-12, 1e-12], [0.5, 0.5]])
    assert reliability(log_p, [0, 0, 0, 0], bins=4).count.tolist() == [0, 1, 1, 2]


def test_a_calibrated_posterior_has_small_ece_and_an_overconfident_one_large() -> None:
    log_p, labels = drawn(20_000)
    assert ece(log_p, labels) < 0.012
    assert ece(temper(log_p, 0.4), labels) > 0.1


def test_opposite_errors_in_two_bins_do_not_cancel() -> None:
    log_p = np.log([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    labels = [0] * 6 + [1] * 4 + [0] * 9 + [1]
    assert ece(log_p, labels) == pytest.approx(0.3)


@pytest.mark.parametrize("truth", [0.3, 1.0, 40.0])
def test_the_temperature_is_found_and_is_a_minimum(truth: float) -> None:
    log_p, labels = drawn(20_000)
    found = fit_temperature(temper(log_p, 1.0 / truth), labels)
    assert found == pytest.approx(truth, rel=0.04)
    best = label_nll(temper(temper(log_p, 1.0 / truth), found), labels)
    for other in (0.9, 1.1):
        assert best < label_nll(temper(temper(log_p, 1.0 / truth), found * other), labels)


def test_hotter_is_less_sure_by_the_root_of_the_odds() -> None:
    odds = np.exp(np.diff(temper(np.log([[0.1, 0.9]]), 2.0)))
    assert odds == pytest.approx(3.0)


def test_temperature_keeps_the_order_of_classes_and_refuses_zero() -> None:
    log_p, _ = drawn(50)
    assert np.array_equal(np.argsort(temper(log_p, 7.0)), np.argsort(log_p))
    with pytest.raises(ValueError, match="temperature"):
        temper(log_p, 0.0)
