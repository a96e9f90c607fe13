"""What an engine call costs, seconds = a rows + b, and how much longer a queue of them takes; fitted while serving."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, inf

FORGET = 0.98
GROW = 1.01
TICK = 1e-9
FIRST_PER_ROW = 50e-6
FIRST_PER_CALL = 200e-6
MEMORY_S = 2.0


@dataclass
class Cost:
    """`seconds(n) = per_row n + per_call`, by least squares in which an observation's weight halves after 34 more.

    Calls of one size do not tell the two apart: then the line keeps its intercept and turns. Both numbers stay
    positive, and what is lately seen bounds both: no call costs less than `per_call`, and no two in a row less than
    `per_row` for each row (two, since of two that overlap one may be told with the other's time). So waiting on a busy
    host, which can be many times the work, is not taken for the price of rows: calls would be made smaller, wait as
    long, and end at one row each. Until something is seen the line is a guess that errs on the slow side: chunks start
    small.

    >>> cost = Cost()
    >>> for rows in (1, 100, 1000) * 20:
    ...     cost.observe(rows, 1e-4 + 2e-6 * rows)
    >>> round(cost.seconds(500), 6)
    0.0011
    >>> cost.rows(0.0021)
    1000
    """

    per_row: float = FIRST_PER_ROW
    per_call: float = FIRST_PER_CALL
    _weight: float = 0.0
    _rows: float = 0.0
    _seconds: float = 0.0
    _rows_rows: float = 0.0
    _rows_seconds: float = 0.0
    _shortest: float = inf
    _cheapest: float = inf
    _last: tuple[int, float] = (0, inf)
    _room: dict[float, int] = field(default_factory=dict)

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from one call; a clock that went backwards or stood still teaches nothing."""
        if rows <= 0 or seconds < TICK:
            return
        self._weight = FORGET * self._weight + 1
        self._room.clear()
        self._rows = FORGET * self._rows + rows
        self._seconds = FORGET * self._seconds + seconds
        self._rows_rows = FORGET * self._rows_rows + rows * rows
        self._rows_seconds = FORGET * self._rows_seconds + rows * seconds
        self._shortest = min(seconds, GROW * self._shortest)
        rows_before, seconds_before = self._last
        self._cheapest = min((seconds_before + seconds) / (rows_before + rows), GROW * self._cheapest)
        self._last = rows, seconds
        mean_rows, mean_seconds = self._rows / self._weight, self._seconds / self._weight
        spread = self._rows_rows / self._weight - mean_rows**2
        if spread > (0.05 * mean_rows) ** 2:
            slope = (self._rows_seconds / self._weight - mean_rows * mean_seconds) / spread
        else:
            slope = (mean_seconds - min(self.per_call, 0.5 * mean_seconds)) / mean_rows
        least = max(0.01 * mean_seconds, mean_seconds - self._shortest) / mean_rows
        self.per_row = min(max(slope, least), mean_seconds / mean_rows, self._cheapest)
        self.per_call = min(max(mean_seconds - self.per_row * mean_rows, 0.0), self._shortest)  # rounding can exceed it

    def seconds(self, rows: int) -> float:
        """What a call of so many rows takes."""
        return self.per_row * rows + self.per_call

    def rows(self, seconds: float) -> int:
        """Most rows of a call that takes no longer; at least one, and as many as cost what any call does, or `seconds`.

        So at least half of a call is useful work where `seconds` is no less than what any call costs.
        """
        if seconds not in self._room:  # asked for every job, and with few different `seconds`
            useful = max(seconds - self.per_call, min(seconds, self.per_call))
            self._room[seconds] = max(1, int(useful / self.per_row + 1e-9))
        return self._room[seconds]


@dataclass
class Stretch:
    """Seconds that pass for each second that calls are expected to take, while one follows the other.

    More than one: between two calls the host parses, renders and hands over, and it shares the engine's cores. What was
    seen loses its weight over `MEMORY_S` seconds; until then the guess counts too.

    >>> stretch = Stretch()
    >>> for _ in range(2000):
    ...     stretch.observe(0.012, 0.010)
    >>> round(stretch.factor, 3)
    1.2
    """

    factor: float = 2.0
    _passed: float = 2.0
    _expected: float = 1.0

    def observe(self, passed: float, expected: float) -> None:
        """Learn from one call that began when the one before it ended."""
        keep = exp(-passed / MEMORY_S)
        self._passed = keep * self._passed + passed
        self._expected = keep * self._expected + expected
        self.factor = max(1.0, self._passed / self._expected)


class Busy:
    """What each of several calls that overlap took of the device: `ended - max(started, the last end before it)`.

    >>> busy = Busy()
    >>> busy.seconds(0.0, 3.0), busy.seconds(1.0, 5.0), busy.seconds(2.0, 4.0), busy.seconds(7.0, 8.0)
    (3.0, 2.0, 0.0, 1.0)
    """

    def __init__(self) -> None:
        self._freed = float("-inf")

    def seconds(self, started: float, ended: float) -> float:
        """Of one call; what lies before the end of one that was told earlier is not counted again."""
        alone = max(ended - max(started, self._freed), 0.0)
        self._freed = max(self._freed, ended)
        return alone
