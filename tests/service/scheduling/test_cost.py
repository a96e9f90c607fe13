"""The line that is fitted to what engine calls take."""

from __future__ import annotations

from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.scheduling.cost import Cost


@given(st.floats(1e-7, 1e-3), st.floats(0, 1e-2), st.permutations([1, 10, 100, 1000]))
def test_it_finds_the_line(per_row: float, per_call: float, sizes: list[int]) -> None:
    cost = Cost()
    for rows in sizes * 3:
        cost.observe(rows, per_row * rows + per_call)
    assert cost.seconds(500) == pytest.approx(per_row * 500 + per_call, rel=0.02)


def test_calls_of_one_size_are_predicted_right_at_that_size() -> None:
    cost = Cost()
    for _ in range(20):
        cost.observe(64, 0.004)
    assert cost.seconds(64) == pytest.approx(0.004)
    assert 0 < cost.seconds(1) <= 0.004 and cost.seconds(640) > 0.004


def test_it_follows_a_machine_that_slows_down() -> None:
    cost = Cost()
    for seconds in [1e-5] * 200 + [4e-5] * 200:
        for rows in (10, 1000):
            cost.observe(rows, seconds * rows)
    assert cost.seconds(1000) == pytest.approx(4e-2, rel=0.05)


@pytest.mark.parametrize("disturbed", [0.5, 0.9])
def test_waiting_is_not_taken_for_the_price_of_rows(disturbed: float) -> None:
    """A busy host keeps many calls waiting far longer than they compute; the next ones must not shrink for it."""
    chance, cost, sizes = Random(1), Cost(), []
    for _ in range(3000):
        sizes.append(rows := cost.rows(0.0025))
        waited = chance.expovariate(1 / 0.02) if chance.random() < disturbed else 0.0
        cost.observe(rows, 1e-4 + 3e-7 * rows + waited)
    assert median(sizes[1000:]) > 2000, "a quarter of what a call of 2.5 ms computes where nothing waits"


def test_of_two_calls_that_overlap_one_may_seem_to_take_nothing() -> None:
    cost = Cost()
    for seconds in (0.02, 1e-6) * 20:
        cost.observe(1000, seconds)
    assert cost.seconds(1000) == pytest.approx(0.01, rel=0.1)


@given(st.lists(st.tuples(st.integers(-3, 10_000), st.floats(-1, 10)), max_size=30), st.floats(0, 1))
def test_whatever_is_observed_it_stays_usable(calls: list[tuple[int, float]], budget: float) -> None:
    """Clocks jump, and calls stall."""
    cost = Cost()
    for rows, seconds in calls:
        cost.observe(rows, seconds)
        if rows > 0 and seconds >= 1e-9:
            assert cost.per_call <= seconds * (1 + 1e-9), "no call costs less than what every call costs"
    assert cost.per_row > 0 and cost.per_call >= 0
    rows = cost.rows(budget)
    assert rows >= 1
    assert rows == 1 or cost.seconds(rows) <= max(budget, cost.per_call + min(budget, cost.per_call)) * (1 + 1e-6)


def test_a_call_is_half_useful_work_at_least() -> None:
    cost = Cost(per_row=1e-4, per_call=2e-3)
    assert cost.rows(0.0025) == 20
    assert cost.rows(0.010) == 80
    assert cost.rows(0.001) == 10  # however much a call costs, the rows of a short one take no longer than it may
