"""A time limit that is set anew for every request, at the price of a timer for many of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic


class Alarm:
    """Calls what was set last, once, when its time has come; `off` before that, and it does not.

    The loop's timer stays where it is when the time is put off or taken back, and is set again when it rings: one that
    is set and stopped for every request costs more than to look at the time.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._rings = inf
        self._when = inf
        self._call: Callable[[], None] | None = None

    def set(self, when: float, call: Callable[[], None]) -> None:
        """Call at `when`, monotonic seconds, instead of what was to be called before."""
        self._when, self._call = when, call
        if when < self._rings:
            self._start(when)

    def off(self) -> None:
        """Call nothing."""
        self._when, self._call = inf, None

    def close(self) -> None:
        """Call nothing, ever: the timer goes too."""
        self.off()
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._rings = None, inf

    def _start(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = when
        self._timer = asyncio.get_running_loop().call_later(max(0.0, when - monotonic()), self._ring)

    def _ring(self) -> None:
        rang, self._timer, self._rings = self._rings, None, inf
        if self._when <= rang and self._call is not None:
            call = self._call
            self.off()
            call()
        elif self._when < inf:
            self._start(self._when)
