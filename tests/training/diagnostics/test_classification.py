from __future__ import annotations

import numpy as np
import pytest

from training.diagnostics.classification import accuracy, brier, confusion, label_nll, normalise


@pytest.fixture
def posterior() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return normalise(3.0 * rng.normal(size=(200, 4))), rng.integers(0, 4, 200)


def test_every_score_equals_its_definition_row_by_row(posterior: tuple[np.ndarray, np.ndarray]) -> None:
    log_p, labels = posterior
    right = nll = squares = 0.0
    table = np.zeros((4, 4), dtype=int)
    for row, label in zip(log_p, labels, strict=True):
        p = np.exp(row)
        right += float(int(np.argmax(p)) == label)
        nll -= float(np.log(p[label]))
        squares += sum(float((p[k] - (1.0 if k == label else 0.0)) ** 2) for k in range(4))
        table[label, int(np.argmax(p))] += 1
    assert accuracy(log_p, labels) == pytest.approx(right / 200)
    assert label_nll(log_p, labels) == pytest.approx(nll / 200)
    assert brier(log_p, labels) == pytest.approx(squares / 200)
    assert np.array_equal(confusion(log_p, labels), table)


def test_a_certain_mistake_costs_its_logarithm_not_infinity() -> None:
    log_p = normalise([[0.0, -900.0]])
    assert label_nll(log_p, [1]) == pytest.approx(900.0)
    assert brier(log_p, [1]) == pytest.approx(2.0)


def test_normalise_is_invariant_to_a_shift_however_large() -> None:
    weights = np.array([[1.0, 2.0, 3.0]])
    assert np.allclose(normalise(weights + 1e6), normalise(weights), atol=1e-9)
    assert np.exp(normalise(weights)).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("log_p", "labels", "message"),
    [
        (np.zeros((2, 3)), [0, 1], "sum to one"),
        (np.log(np.full((2, 2), 0.5)), [0, 2], "integers 0..1"),
        (np.log(np.full((2, 2), 0.5)), [0.0, 1.0], "integers 0..1"),
        (np.log(np.full((2, 2), 0.5)), [0], "rows"),
        (np.zeros((0, 2)), np.zeros(0, int), "at least one row"),
    ],
)
def test_arrays_that_are_no_posterior_are_refused(log_p: np.ndarray, labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accuracy(log_p, labels)
