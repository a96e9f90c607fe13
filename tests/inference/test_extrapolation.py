"""Conditions outside what a version was fitted to are told from those inside, in every answer that takes one."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from inference import answer, encode, log_likelihood, sample
from inference.conditions import conditions
from inference.extrapolation import extrapolated
from inference.loaded import Loaded
from inference.sampling import summarize
from model_store.signature import ArraySpec, VectorCondition
from tests.inference import handmade

KNOWN = VectorCondition(array=ArraySpec(shape=(2,)), least=(0.0, -2.0), greatest=(1.0, 2.0))
INSIDE, OUTSIDE = [0.5, -2.25], [0.5, -2.5]


@pytest.fixture(scope="module")
def known() -> Loaded:
    return handmade.coupled_vector(None, KNOWN.least, KNOWN.greatest).load()


@pytest.mark.parametrize(
    ("condition", "outside"),
    [
        ([0.0, 2.0], False),
        ([1.09, 2.39], False),
        ([-0.09, -2.39], False),
        ([1.11, 0.0], True),
        ([-0.11, 0.0], True),
        ([0.5, 2.41], True),
        ([0.5, -1e30], True),
    ],
)
def test_a_tenth_of_the_range_is_let_pass_on_either_side(condition: list[float], outside: bool) -> None:
    assert extrapolated(KNOWN, conditions(KNOWN, condition)).tolist() == [outside]


def test_every_answer_tells_it_of_each_condition(known: Loaded) -> None:
    both = [INSIDE, OUTSIDE]
    drawn = answer(known.engine, sample(known, conditions=both, num_samples=3))
    assert drawn.extrapolated.tolist() == [False, True]
    assert answer(known.engine, sample(known, OUTSIDE, num_samples=3)).extrapolated.shape == ()
    statistics = answer(known.engine, summarize(known, conditions=both, num_samples=3, summary=["mean"]))
    assert statistics.extrapolated.tolist() == [False, True]
    x = np.zeros((2, 1), np.float32)
    for question in (log_likelihood, encode):
        assert answer(known.engine, question(known, x, both)).extrapolated.tolist() == [False, True]
        assert answer(known.engine, question(known, x, OUTSIDE)).extrapolated.tolist() == [True, True]


def test_a_version_that_does_not_know_says_nothing() -> None:
    for version, condition in ((handmade.coupled_vector(None), OUTSIDE), (handmade.labels(), 0)):
        loaded = version.load()
        assert answer(loaded.engine, sample(loaded, condition)).extrapolated is None
        x = np.zeros((1, *loaded.signature.data.shape), np.float32)
        assert answer(loaded.engine, log_likelihood(loaded, x, condition)).extrapolated is None


@pytest.mark.parametrize(
    ("least", "greatest", "message"),
    [((0.0,), (1.0,), "expected 2 numbers"), ((0.0, 0.0), (), "expected 2 numbers"), ((0.0, 2.0), (1.0, 1.0), "above")],
)
def test_a_range_that_cannot_be(least: tuple[float, ...], greatest: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        KNOWN.within(least, greatest)
