"""The versions on the device, within a budget of its memory: who comes when it is full makes the others leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from service.entries import Entry
from service.eviction import TURN, Resident, choose, next_due
from service.metrics import Metrics


class NeverFits(Exception):
    """The version alone takes more than the whole budget."""

    def __init__(self, needed: int, budget: int) -> None:
        super().__init__(
            f"it takes {_mebibytes(needed)} of the device's memory and the budget (CONDFLOW_DEVICE_MEMORY) is "
            f"{_mebibytes(budget)}"
        )


class NoRoom(Exception):
    """The versions in use left no room for another one in time."""


class Residents:
    """Counts what is on the device. Used from one event loop.

    Args:
        budget: bytes that all versions together may take; None for any number.
        metrics: told of evictions.
        closed: called with each entry that left for good.
    """

    def __init__(self, budget: int | None, metrics: Metrics, closed: Callable[[Entry], None]) -> None:
        self.budget = budget
        self._metrics, self._closed = metrics, closed
        self._there: dict[Entry, None] = {}
        self._changed = asyncio.Event()

    @property
    def bytes(self) -> int:
        """What all versions on the device take, those that are leaving too."""
        return sum(entry.bytes for entry in self._there)

    def add(self, entry: Entry) -> None:
        """It is on the device from now on."""
        self._there[entry] = None

    def settle(self, entry: Entry) -> None:
        """Nobody uses it at the moment: close it if it is to go."""
        self._changed.set()
        if entry.loaded is not None:  # programs that were made since it came count too
            entry.bytes = max(entry.bytes, entry.loaded.engine.bytes)
        if entry.users or not (entry.retired or entry.leaving):
            return
        if entry.loaded is not None:
            entry.loaded.close()
        if not entry.retired:
            self._metrics.evictions.inc()
        entry.loaded, entry.leaving = None, False
        self._there.pop(entry, None)
        if entry.retired:
            self._closed(entry)

    async def make_room(self, needed: int, patience_s: float) -> None:
        """Return when `needed` more bytes fit: others were put off the device, after their last users.

        Those that were asked to leave and could not in time may stay, for longer than their new requests have waited.

        Raises:
            NeverFits: they would not fit if the device were empty.
            NoRoom: they did not within `patience_s`.
        """
        if self.budget is None:
            return
        if needed > self.budget:
            raise NeverFits(needed, self.budget)
        begun = monotonic()
        end = begun + patience_s
        try:
            while (missing := self.bytes + needed - self.budget) > 0:
                now = monotonic()
                self._ask_to_leave(missing, now)
                if self.bytes + needed <= self.budget:
                    return
                if now >= end:
                    raise NoRoom
                await self._change(min(end - now, next_due(self._residents(), now) or end - now))
        finally:
            now = monotonic()
            for entry in self._there:
                if entry.leaving:
                    entry.leaving, entry.since = False, now + TURN * (now - begun)

    def relieve(self) -> bool:
        """Put the least recently used version that is idle off the device; False where there is none."""
        idle = [entry for entry in self._there if entry.open and not entry.users]
        if not idle:
            return False
        self._leave(min(idle, key=lambda entry: entry.last_used))
        return True

    def _ask_to_leave(self, missing: int, now: float) -> None:
        """Choose who shall go, unless those that go anyway suffice."""
        coming = sum(entry.bytes for entry in self._there if not entry.open)
        if coming < missing:
            for entry in choose(self._residents(), missing - coming, now):
                self._leave(entry)

    def _leave(self, entry: Entry) -> None:
        entry.leaving = True
        self.settle(entry)

    def _residents(self) -> list[Resident[Entry]]:
        return [
            Resident(entry, entry.bytes, entry.users, entry.last_used, entry.since, entry.load_s)
            for entry in self._there
            if entry.open
        ]

    async def _change(self, seconds: float) -> None:
        """Return when a version is not used any more, or after so long."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
