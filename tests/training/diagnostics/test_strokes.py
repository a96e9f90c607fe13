from __future__ import annotations

import numpy as np
import pytest

from training.diagnostics.strokes import correlation_across, slant, thickness


def stroke(width: float, lean: float) -> np.ndarray:
    """A stroke of `width` pixels across whose top leans `lean` pixels right per pixel of height, antialiased."""
    fine = 8
    rows, columns = np.mgrid[0 : 40 * fine, 0 : 40 * fine] / fine + 0.5 / fine
    across = (columns - 20 + lean * (rows - 20)) / np.hypot(1.0, lean)
    ink = (np.abs(across) < width / 2) & (np.abs(rows - 20) < 15)
    return ink.reshape(40, fine, 40, fine).mean(axis=(1, 3))


@pytest.mark.parametrize("width", [2.0, 3.0, 4.5])
@pytest.mark.parametrize("lean", [-0.5, 0.0, 0.4])
def test_thickness_and_slant_of_a_known_stroke(width: float, lean: float) -> None:
    image = stroke(width, lean)[None]
    assert thickness(image)[0] == pytest.approx(width, rel=0.13)  # its ends take a little off
    assert slant(image)[0] == pytest.approx(lean, abs=0.02)


def test_thickness_follows_the_width_and_not_the_brightness() -> None:
    widths = np.arange(2.0, 6.0, 0.5)
    measured = thickness(np.stack([stroke(w, 0.2) for w in widths]))
    assert np.all(np.diff(measured) > 0.3)
    assert np.allclose(thickness(np.stack([100.0 * stroke(3.0, 0.0)])), thickness(stroke(3.0, 0.0)[None]))


def test_an_empty_picture_measures_nan_and_is_left_out() -> None:
    assert np.isnan(thickness(np.zeros((1, 8, 8)))).all()
    assert np.isnan(slant(np.zeros((1, 8, 8)))).all()
    trait = np.array([[1.0, 2.0, 1.0], [2.0, np.nan, 2.5], [3.0, 6.0, 3.0], [4.0, 8.5, 4.5]])
    assert correlation_across(trait) > 0.97


def test_shuffling_columns_apart_destroys_the_correlation() -> None:
    rng = np.random.default_rng(0)
    trait = rng.normal(size=(2000, 1)) + 0.3 * rng.normal(size=(2000, 6))
    apart = np.stack([rng.permutation(column) for column in trait.T], axis=1)
    assert correlation_across(trait) > 0.85
    assert abs(correlation_across(apart)) < 0.03
