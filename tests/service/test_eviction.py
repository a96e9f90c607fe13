"""Who leaves a full device: enough, no more than needed, the least recently used first, and nobody before its time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.eviction import STAY_S, TURN, Resident, choose, next_due

TIMES, SIZES = st.floats(0, 100), st.integers(1, 50)
NOW = 100.0


@st.composite
def residents(draw: st.DrawFn) -> list[Resident[int]]:
    count = draw(st.integers(0, 8))
    return [
        Resident(key, draw(SIZES), draw(st.integers(0, 2)), draw(TIMES), draw(TIMES), draw(st.floats(0, 30)))
        for key in range(count)
    ]


@given(residents(), st.integers(1, 200))
def test_what_is_chosen_is_due_enough_and_no_more(there: list[Resident[int]], missing: int) -> None:
    chosen = [there[key] for key in choose(there, missing, NOW)]
    due = [one for one in there if one.due <= NOW]
    if not chosen:
        assert sum(one.bytes for one in due) < missing
        return
    assert len({one.key for one in chosen}) == len(chosen) and all(one in due for one in chosen)
    freed = sum(one.bytes for one in chosen)
    assert freed >= missing
    assert all(freed - one.bytes < missing for one in chosen)


@given(residents(), st.integers(1, 200))
def test_versions_in_use_go_only_where_unused_ones_do_not_suffice(there: list[Resident[int]], missing: int) -> None:
    idle = sum(one.bytes for one in there if not one.users and one.due <= NOW)
    chosen = choose(there, missing, NOW)
    if idle >= missing:
        assert chosen and not any(there[key].users for key in chosen)


@given(residents(), st.integers(1, 200))
def test_of_equal_ones_the_least_recently_used_go(there: list[Resident[int]], missing: int) -> None:
    equal = [Resident(one.key, 10, 0, one.last_used, one.since, 0.0) for one in there]
    chosen = choose(equal, missing, NOW)
    left = [one.last_used for one in equal if one.key not in chosen and one.due <= NOW]
    assert all(equal[key].last_used <= min(left, default=NOW) for key in chosen)


@given(residents())
def test_somebody_is_due_after_the_time_that_is_told(there: list[Resident[int]]) -> None:
    seconds = next_due(there, NOW)
    later = [one for one in there if one.due > NOW]
    if seconds is None:
        assert not later
    else:
        assert seconds > 0 and abs(min(one.due for one in later) - NOW - seconds) < 1e-9


def test_when_a_version_is_due() -> None:
    idle = Resident("m", 1, users=0, last_used=10.0, since=9.0, load_s=0.5)
    assert idle.due == 10.5  # unused for as long as it takes to bring it back
    assert Resident("m", 1, users=0, last_used=50.0, since=9.0, load_s=0.5).due == 9.0 + TURN * 0.5
    assert Resident("m", 1, users=1, last_used=10.0, since=9.0, load_s=0.01).due == 9.0 + STAY_S
