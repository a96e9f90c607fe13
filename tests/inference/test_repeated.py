"""Conditions that are told: the same rows as when they are given, joined, cut, picked and cast."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.conditions import Conditions
from inference.drawn import Drawn, joined
from inference.noise import SAMPLING, NoiseSource
from inference.repeated import Repeated
from model_store.signature import Part
from tests.inference import handmade


@st.composite
def columns(draw: st.DrawFn) -> Repeated:
    counts = draw(st.lists(st.integers(0, 20), min_size=1, max_size=6))
    values = np.random.default_rng(len(counts)).standard_normal((len(counts), 2)).astype(np.float32)
    return Repeated(values, np.array(counts))


@given(several=st.lists(columns(), min_size=1, max_size=4))
def test_joined(several: list[Repeated]) -> None:
    together, wanted = joined(several), np.concatenate([column.numbers() for column in several])
    assert isinstance(together, Repeated) and together.shape == wanted.shape
    np.testing.assert_array_equal(together.numbers(), wanted)


def test_told_conditions_are_joined_with_nothing_else() -> None:
    told = Repeated(np.array([3]), np.array([9]))
    noise = Drawn.of(NoiseSource(1, SAMPLING, 0, Part(name="z", shape=(1,))), [(0, 0, 9)], 1.0)
    for other in (told.numbers(), noise):
        with pytest.raises(TypeError, match="all told, or all given"):
            joined([told, other])


@given(column=columns(), start=st.integers(0, 90), stop=st.integers(0, 90))
def test_cut(column: Repeated, start: int, stop: int) -> None:
    found = column[start:stop]
    np.testing.assert_array_equal(found.numbers(), column.numbers()[start:stop])
    assert len(found.counts) == 1 or (found.counts > 0).all()


@given(column=columns(), data=st.data())
def test_picked(column: Repeated, data: st.DataObject) -> None:
    """In any order; neighbours of one run stay one."""
    if not len(column):
        return
    places = np.array(data.draw(st.lists(st.integers(0, len(column) - 1), min_size=1, max_size=30)))
    np.testing.assert_array_equal(column[places].numbers(), column.numbers()[places])
    assert len(column[np.sort(places)].counts) <= len(column.counts)


def test_cast() -> None:
    found = Repeated(np.array([3.0, 5.0]), np.array([1, 2])).astype(np.int64)
    assert (found.numbers().dtype, found.numbers().tolist()) == (np.int64, [3, 5, 5])


@given(
    count=st.integers(1, 5),
    each=st.integers(1, 20),
    first=st.integers(0, 50),
    start=st.integers(0, 99),
    rows=st.integers(1, 99),
)
def test_conditions_are_told_as_they_are_given(count: int, each: int, first: int, start: int, rows: int) -> None:
    conditions = Conditions(10 * np.arange(count), count == 1, each, first)
    last = start + rows
    if count > 1 and last + first > count * each:
        return
    told = conditions.told(start, last)["condition"]
    np.testing.assert_array_equal(told.numbers(), conditions.of_run(start, last)["condition"])
    assert (told.counts > 0).all() and len(told.counts) <= count


def test_nothing_is_told_where_there_is_none() -> None:
    assert Conditions(None, single=True).told(0, 9) == {}


def test_an_engine_that_does_not_draw_is_given_the_rows() -> None:
    engine = handmade.labels().load().engine
    z, told = np.ones((5, 2), np.float32), Repeated(np.array([0, 2]), np.array([3, 2]))
    np.testing.assert_array_equal(
        engine.run("decode", {"z": z, "condition": told})["x"],
        engine.run("decode", {"z": z, "condition": told.numbers()})["x"],
    )
