"""Rows in a call of fixed shape: each gets its own answer, at a place that its neighbours do not choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine import Arrays, Engine
from service.scheduling.layout import LANES, Dense, FixedShape, Layout

members = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 90)), min_size=1, max_size=6)


class Places(Engine):
    """Answers each row with its value, its place modulo LANES, and the size of its call."""

    device = "cpu"
    draws = False

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, operation: Any, inputs: Mapping[str, np.ndarray]) -> Arrays:
        count = len(inputs["x"])
        self.sizes.append(count)
        return {"x": inputs["x"], "label": inputs["condition"], "place": np.arange(count) % LANES}

    def close(self) -> None:
        """Nothing to release."""


def inputs(member: int, start: int, count: int) -> Arrays:
    rows = 1000.0 * member + np.arange(start, start + count)
    return {"x": rows[:, None].astype(np.float32), "condition": rows.astype(np.int64)}


def run(layout: Layout, asked: list[tuple[int, int]]) -> tuple[list[Arrays], list[int]]:
    engine = Places()
    given = [(start, inputs(member, start, count)) for member, (start, count) in enumerate(asked)]
    return layout.run(engine, "encode", given), engine.sizes


@given(asked=members, rows=st.sampled_from([16, 64, 256]))
def test_every_row_is_answered_at_its_own_lane(asked: list[tuple[int, int]], rows: int) -> None:
    answers, sizes = run(FixedShape(rows), asked)
    assert set(sizes) == {rows}
    for member, ((start, count), answer) in enumerate(zip(asked, answers, strict=True)):
        wanted = inputs(member, start, count)
        np.testing.assert_array_equal(answer["x"], wanted["x"])
        np.testing.assert_array_equal(answer["label"], wanted["condition"])
        np.testing.assert_array_equal(answer["place"], np.arange(start, start + count) % LANES)


@given(asked=members)
def test_dense_is_one_call_of_all_rows(asked: list[tuple[int, int]]) -> None:
    answers, sizes = run(Dense(), asked)
    assert sizes == [sum(count for _, count in asked)]
    for member, ((start, count), answer) in enumerate(zip(asked, answers, strict=True)):
        np.testing.assert_array_equal(answer["x"], inputs(member, start, count)["x"])


@pytest.mark.parametrize("rows", [0, 8, 17, -16])
def test_other_sizes_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        FixedShape(rows)
