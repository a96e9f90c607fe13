"""Statistics of a draw are those of its samples, whatever is kept of them and however the work was cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inference import FieldError, sample
from inference.drawing import drawing
from inference.loaded import Loaded
from inference.quantiles import TooManyValues
from inference.sampling import summarize
from inference.summaries import DEFAULT_LEVELS, STATISTICS, Summaries, wanted
from inference.work import answer
from tests.inference import handmade
from tests.inference.test_chunks import drive


def check(summary: dict[str, Any], samples: np.ndarray, levels: Any = DEFAULT_LEVELS) -> None:
    """`samples` (n, D), of one condition."""
    exact = samples.astype(np.float64)
    size = exact.shape[1]
    np.testing.assert_allclose(summary["mean"].ravel(), exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(summary["sd"].ravel(), exact.std(axis=0, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(summary["covariance"], np.cov(exact.T).reshape(size, size), rtol=1e-9, atol=1e-12)
    quantiles = summary["quantiles"].reshape(len(levels), -1)
    np.testing.assert_allclose(quantiles, np.quantile(exact, levels, axis=0), rtol=1e-12)


@pytest.mark.parametrize("sizes", [[1000], [7, 1, 333]])
def test_of_several_conditions(labels: Loaded, sizes: list[int]) -> None:
    """20,001 rows are three pieces, whose ends are not those of the conditions."""
    asked: dict[str, Any] = {"conditions": [0, 2, 1], "num_samples": 6667, "seed": 3}
    full = answer(labels.engine, sample(labels, **asked))
    got = drive(labels.engine, summarize(labels, **asked, summary=STATISTICS), sizes)
    assert got.samples is None and got.summary["quantile_error"] == 0
    for place in range(3):
        parts = {name: got.summary[name][place] for name in STATISTICS}
        check(parts, full.samples[place])


def test_of_one_condition_with_everything_else_kept(labels: Loaded) -> None:
    asked: dict[str, Any] = {"condition": 1, "num_samples": 9000, "return_latent": True, "return_log_likelihood": True}
    full = answer(labels.engine, sample(labels, **asked))
    got = answer(labels.engine, summarize(labels, **asked, summary=STATISTICS, return_samples=True))
    np.testing.assert_array_equal(got.samples, full.samples)
    np.testing.assert_array_equal(got.log_likelihood, full.log_likelihood)
    np.testing.assert_array_equal(got.latent["z"], full.latent["z"])
    assert got.summary["mean"].shape == (2,) and got.summary["covariance"].shape == (2, 2)
    check(got.summary, full.samples)


def test_of_integer_pictures() -> None:
    grey = handmade.images().load()
    asked: dict[str, Any] = {"num_samples": 3000, "quantile_levels": [0, 0.5, 1.0]}
    full = answer(grey.engine, sample(grey, num_samples=3000))
    got = answer(grey.engine, summarize(grey, **asked, summary=STATISTICS, quantile_values=100))
    assert got.summary["quantiles"].shape == (3, 1, 2, 2) and got.summary["quantile_error"] == 0
    check(got.summary, full.samples.reshape(3000, -1), [0, 0.5, 1.0])


def test_a_condition_needs_no_more_memory_than_the_one_before(labels: Loaded) -> None:
    asked = wanted(["quantiles"], None, 50_000, 20_000)
    assert asked is not None
    gathered = Summaries(asked, labels.signature.data, 3, 50_000)
    for place in range(3):
        rows = np.random.default_rng(place).normal(size=(50_000, 2)).astype(np.float32)
        gathered.add(rows)
        held = sum(level.numbers.size for level in gathered._quantiles._levels)  # type: ignore[union-attr]
        assert held <= 20_000
    summary = gathered.answer((3,))
    assert 0 < summary["quantile_error"] <= 0.01
    assert np.abs(summary["quantiles"][:, 3]).max() < 0.05


@pytest.mark.parametrize(
    ("pointer", "asked"),
    [
        ("/summary", {"summary": []}),
        ("/summary", {"summary": "mean"}),
        ("/summary/1", {"summary": ["mean", "median"]}),
        ("/summary/1", {"summary": ["mean", "mean"]}),
        ("/summary/0", {"summary": [["mean"]]}),
        ("/num_samples", {"summary": ["sd"], "num_samples": 1}),
        ("/quantile_levels", {"quantile_levels": [0.5]}),
        ("/quantile_levels", {"summary": ["mean"], "quantile_levels": [0.5]}),
        ("/quantile_levels", {"summary": ["quantiles"], "quantile_levels": []}),
        ("/quantile_levels", {"summary": ["quantiles"], "quantile_levels": 0.5}),
        ("/quantile_levels/1", {"summary": ["quantiles"], "quantile_levels": [0.5, 1.5]}),
        ("/return_samples", {"return_samples": False}),
    ],
)
def test_what_makes_no_sense_is_refused(labels: Loaded, pointer: str, asked: dict[str, Any]) -> None:
    with pytest.raises(FieldError) as refused:
        summarize(labels, **{"condition": 0, "num_samples": 4, **asked})
    assert refused.value.pointer == pointer


def test_quantiles_past_their_memory_are_refused(labels: Loaded) -> None:
    with pytest.raises(TooManyValues):
        summarize(labels, 0, 100_000, summary=["quantiles"], quantile_values=100)


def test_pieces_cover_every_row_once(labels: Loaded) -> None:
    pieces = list(drawing(labels, conditions=[0, 1], num_samples=10_000).pieces())
    assert [start for start, _ in pieces] == [0, *[stop for _, stop in pieces[:-1]]] and pieces[-1][1] == 20_000
    assert all(start % 16 == 0 for start, _ in pieces)
