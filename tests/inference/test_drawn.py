"""Noise that is told: the same numbers as when it is given, joined, cut and extended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.drawn import Drawn, joined
from inference.noise import SAMPLING, SCORING, NoiseSource, Run
from model_store.signature import Part
from tests.inference import handmade

runs = st.tuples(st.integers(0, 3), st.integers(0, 60), st.integers(0, 20)).map(lambda r: (r[0], r[1], r[1] + r[2]))


@dataclass
class Asked:
    """A column told, and the same one as arrays were made before."""

    told: Drawn
    given: np.ndarray


@st.composite
def columns(draw: st.DrawFn, size: int = 3, distribution: str = "normal") -> Asked:
    source = NoiseSource(
        draw(st.sampled_from([0, 7, 2**53 - 1])),
        draw(st.sampled_from([SAMPLING, SCORING])),
        draw(st.integers(0, 2)),
        Part(name="z", shape=(size,), distribution=distribution),
    )
    asked: list[Run] = draw(st.lists(runs, min_size=1, max_size=4))
    scale = np.float32(draw(st.sampled_from([0, 0.7, 1, 100])))
    numbers = source.draw_runs(asked)
    return Asked(Drawn.of(source, asked, scale), numbers if scale == 1 else numbers * scale)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 1)])
def test_told_is_given(distribution: str, shape: tuple[int, ...]) -> None:
    source = NoiseSource(11, SAMPLING, 1, Part(name="z", shape=shape, distribution=distribution))
    asked = [(0, 3, 40), (7, 0, 9), (0, 0, 1)]
    told = Drawn.of(source, asked, 0.25)
    assert told.shape == (47, *shape)
    assert told.numbers().dtype == np.float32
    np.testing.assert_array_equal(told.numbers(), source.draw_runs(asked) * np.float32(0.25))


@given(several=st.lists(columns(), min_size=1, max_size=4))
def test_joined(several: list[Asked]) -> None:
    together = joined([column.told for column in several])
    assert isinstance(together, Drawn)
    wanted = np.concatenate([column.given for column in several])
    assert len(together) == len(wanted)
    np.testing.assert_array_equal(together.numbers(), wanted)
    np.testing.assert_array_equal(joined([column.given for column in several]), wanted)


def test_told_and_given_are_not_joined() -> None:
    told = Drawn.of(NoiseSource(1, SAMPLING, 0, Part(name="z", shape=(1,))), [(0, 0, 9)], 1.0)
    with pytest.raises(TypeError, match="all told, or all given"):
        joined([told, told.numbers()])


@given(column=columns(), start=st.integers(0, 90), stop=st.integers(0, 90))
def test_cut(column: Asked, start: int, stop: int) -> None:
    np.testing.assert_array_equal(column.told[start:stop].numbers(), column.given[start:stop])
    assert (len(column.told[start:stop].runs) == 1) or (column.told[start:stop].lengths > 0).all()


@given(column=columns(), start=st.integers(0, 90), wanted=st.integers(1, 90), most=st.integers(1, 5))
def test_how_many_runs_some_rows_reach_over(column: Asked, start: int, wanted: int, most: int) -> None:
    """Runs without rows may be counted, so that it is never too few."""
    told, stop = column.told, start + wanted
    if stop > len(told):
        return
    assert len(told[start:stop].runs) <= told.runs_met(start, stop) <= len(told.runs)
    behind = told.row_after(start, most)
    assert behind > start and told.runs_met(start, behind) <= most
    assert behind == len(told) or told.runs_met(start, behind + 1) > most


def test_rows_one_by_one_are_not_to_be_had_in_steps() -> None:
    told = Drawn.of(NoiseSource(1, SAMPLING, 0, Part(name="z", shape=(1,))), [(0, 0, 9)], 1.0)
    with pytest.raises(ValueError, match="step of 2"):
        told[::2]


@given(column=columns(), front=st.integers(0, 20), back=st.integers(0, 20))
def test_extended(column: Asked, front: int, back: int) -> None:
    numbers = column.told.extended(front, back).numbers()
    assert len(numbers) == front + len(column.given) + back
    np.testing.assert_array_equal(numbers[front : len(numbers) - back], column.given)


def test_an_engine_that_does_not_draw_is_given_the_numbers() -> None:
    engine = handmade.unconditional().load().engine
    told = Drawn.of(NoiseSource(5, SAMPLING, 0, Part(name="z", shape=(1,))), [(0, 0, 4), (2, 1, 3)], 0.5)
    assert not engine.draws
    np.testing.assert_array_equal(
        engine.run("decode", {"z": told})["x"], engine.run("decode", {"z": told.numbers()})["x"]
    )
