"""The next call is formed when the loop has read what is there, and on one core when nobody asks again at once."""

from __future__ import annotations

import asyncio

import pytest

from service.scheduling.gathering import MOST_TURNS, TURNS, Gathering


def turns_until_pulled(shares_core: bool, comes_for: int) -> list[int]:
    """The turns of the loop in which it pulled, where in each of the first ones another work comes."""
    pulled: list[int] = []

    async def run() -> None:
        turn = 0
        gathering = Gathering(lambda: pulled.append(turn))
        gathering.shares_core = shares_core
        gathering.came()
        for turn in range(1, 2 * MOST_TURNS):
            await asyncio.sleep(0)
            if turn < comes_for:
                gathering.came()

    asyncio.run(run())
    return pulled


def test_with_cores_to_spare_it_is_after_two_turns_whoever_comes() -> None:
    assert turns_until_pulled(shares_core=False, comes_for=1) == [TURNS]
    assert turns_until_pulled(shares_core=False, comes_for=TURNS) == [TURNS]


def test_what_comes_after_a_pull_is_pulled_next() -> None:
    assert turns_until_pulled(shares_core=False, comes_for=TURNS + 2) == [TURNS, 2 * TURNS]


@pytest.mark.parametrize(("comes_for", "turn"), [(1, TURNS + 1), (4, 5), (5, 6), (100, MOST_TURNS)])
def test_on_one_core_it_waits_for_those_who_ask_again_but_not_for_ever(comes_for: int, turn: int) -> None:
    assert turns_until_pulled(shares_core=True, comes_for=comes_for)[0] == turn
