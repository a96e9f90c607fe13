"""Deficit round robin, and max-min fair shares."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.scheduling.turns import Turns, level

COSTS = st.lists(st.floats(0.1, 10.0), min_size=2, max_size=6)


@given(COSTS)
def test_members_get_equal_time_whatever_their_turns_cost(costs: list[float]) -> None:
    turns = Turns[int](quantum=1.0, longest=10.0)
    for member in range(len(costs)):
        turns.add(member)
    took = [0.0] * len(costs)
    for _ in range(400):
        member = turns.next()
        turns.charge(member, costs[member])
        took[member] += costs[member]
    assert max(took) - min(took) <= 2 * (max(costs) + 1.0)


@given(COSTS, st.integers(0, 30))
def test_a_newcomer_waits_for_one_round(costs: list[float], before: int) -> None:
    turns = Turns[int](quantum=1.0, longest=10.0)
    for member in range(len(costs)):
        turns.add(member)
    for _ in range(before):
        member = turns.next()
        turns.charge(member, costs[member])
    turns.add(-1)
    waited = 0.0
    while (member := turns.next()) != -1:
        turns.charge(member, costs[member])
        waited += costs[member]
    assert waited <= len(costs) * (1.0 + max(costs)) + 1e-9


def test_debt_is_bounded() -> None:
    turns = Turns[str](quantum=1.0, longest=3.0)
    turns.add("rider")
    for _ in range(100):
        turns.charge("rider", 3.0)
    turns.add("other")
    order = []
    for _ in range(8):
        order.append(turns.next())
        turns.charge(order[-1], 1.0)
    assert "rider" in order


def test_nobody_is_an_error_and_strangers_are_ignored() -> None:
    turns = Turns[str](quantum=1.0, longest=1.0)
    turns.charge("stranger", 1.0)
    turns.remove("stranger")
    try:
        turns.next()
    except LookupError:
        return
    raise AssertionError("expected LookupError")


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(0, 200))
def test_shares_are_max_min_fair(wanted: list[int], room: int) -> None:
    shares = level(wanted, room)
    assert all(0 <= share <= want for share, want in zip(shares, wanted, strict=True))
    assert sum(shares) == min(room, sum(wanted))
    unhappy = [share for share, want in zip(shares, wanted, strict=True) if share < want]
    if unhappy:  # nobody has more than one row above someone who wants more
        assert max(shares) <= min(unhappy) + 1
