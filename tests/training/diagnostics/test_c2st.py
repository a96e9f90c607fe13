from __future__ import annotations

import numpy as np
import pytest

from training.diagnostics.c2st import c2st

ROWS = 10_000


def test_equal_laws_read_one_half_and_the_positive_control_does_not() -> None:
    rng = np.random.default_rng(1)
    truth = 0.2 * rng.normal(size=(ROWS, 2)) + 5.0
    same = 0.2 * rng.normal(size=(ROWS, 2)) + 5.0
    wider = 0.22 * rng.normal(size=(ROWS, 2)) + 5.0
    assert abs(c2st(truth, same) - 0.5) < 0.012
    # The best classifier there is reads 0.5 + TV/2 = 0.535.
    assert 0.525 <= c2st(truth, wider) < 0.548


def test_the_scale_of_a_column_does_not_hide_another() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(1000, 2)) * [1e4, 1e-4]
    shifted = rng.normal(size=(1000, 2)) * [1e4, 1e-4] + [0.0, 3e-4]
    assert c2st(truth, shifted) > 0.85


def test_bad_sets_are_refused() -> None:
    good = np.zeros((20, 2))
    with pytest.raises(ValueError, match="2 columns"):
        c2st(good, np.zeros((20, 3)))
    with pytest.raises(ValueError, match="finite"):
        c2st(good, np.full((20, 2), np.nan))
    with pytest.raises(ValueError, match="at least 10 rows"):
        c2st(np.zeros((3, 2)), good)
