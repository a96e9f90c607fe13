"""When the next call is formed: after the loop has read and submitted what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

TURNS, MOST_TURNS = 2, 8


class Gathering:
    """Calls `pull` after two turns of the loop, which has then read and submitted all that is there: one call takes it.

    A busy loop makes the engine wait, which costs nothing as the loop is the slower one; an idle one turns at once.
    Where both share one core, either waits for the other anyway: then the answers of the last call go out first, and
    for as many turns as those who got them ask again, up to eight in all, so that one call takes the rows of all.
    """

    shares_core = False

    def __init__(self, pull: Callable[[], None]) -> None:
        self._pull = pull
        self._came = 0
        self._turning = False

    def came(self) -> None:
        """A work was submitted."""
        self._came += 1
        self.pull_soon()

    def pull_soon(self) -> None:
        """There may be something to pull."""
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn, 1, self._came)

    def _turn(self, turns: int, before: int) -> None:
        """The loop has turned so many times; `before`: works that had come a turn ago."""
        coming = self.shares_core and (turns == TURNS or self._came > before)
        if turns < TURNS or (coming and turns < MOST_TURNS):
            asyncio.get_running_loop().call_soon(self._turn, turns + 1, self._came)
        else:
            self._turning = False
            self._pull()
