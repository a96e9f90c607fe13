from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from training.diagnostics.fidelity import frechet_distance, precision_recall


def brute_force(queries: np.ndarray, centres: np.ndarray, k: int) -> float:
    inside = 0
    for q in queries:
        for i, c in enumerate(centres):
            radius = sorted(float(np.linalg.norm(c - o)) for j, o in enumerate(centres) if j != i)[k - 1]
            if np.linalg.norm(q - c) <= radius:
                inside += 1
                break
    return inside / len(queries)


def test_precision_and_recall_equal_the_definition() -> None:
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(60, 3)), 0.7 * rng.normal(size=(50, 3)) + 0.5
    found = precision_recall(real, generated, neighbours=3)
    assert found.precision == pytest.approx(brute_force(generated, real, 3))
    assert found.recall == pytest.approx(brute_force(real, generated, 3))
    assert found.precision != found.recall


def test_a_collapsed_generator_is_precise_without_recall_and_a_noisy_one_the_reverse() -> None:
    rng = np.random.default_rng(1)
    real = rng.normal(size=(1500, 2))
    collapsed = precision_recall(real, 0.05 * rng.normal(size=(1500, 2)))
    noisy = precision_recall(real, 4.0 * rng.normal(size=(1500, 2)))
    assert collapsed.precision > 0.95 > 0.1 > collapsed.recall
    assert noisy.recall > 0.9 > noisy.precision + 0.3


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    real, generated = rng.normal(size=(100, 4)), rng.normal(size=(90, 4))
    whole = precision_recall(real, generated)
    monkeypatch.setattr("training.diagnostics.fidelity._CHUNK", 7)
    assert precision_recall(real, generated) == whole


def test_frechet_distance_equals_the_formula_with_a_matrix_root() -> None:
    rng = np.random.default_rng(3)
    real = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4))
    generated = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)) + 1.0
    a, b = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    shift = real.mean(axis=0) - generated.mean(axis=0)
    expected = shift @ shift + np.trace(a + b - 2.0 * np.real(sqrtm(a @ b)))
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_of_equal_sets_is_zero_also_where_features_are_dead() -> None:
    real = np.concatenate([np.random.default_rng(4).normal(size=(50, 3)), np.zeros((50, 2))], axis=1)
    assert frechet_distance(real, real) == pytest.approx(0.0, abs=1e-6)
