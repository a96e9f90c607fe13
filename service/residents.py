"""The versions on the device, within a budget of its memory: who comes when it is full makes the others leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from inference.loaded import Loaded
from service.entries import Entry
from service.eviction import TURN, Resident, choose, next_due
from service.metrics import Metrics

_log = logging.getLogger("condflow.service")


class NeverFits(Exception):
    """The version alone takes more than the whole budget."""

    def __init__(self, needed: int, budget: int) -> None:
        super().__init__(
            f"it takes {_mebibytes(needed)} of the device's memory and the budget (CONDFLOW_DEVICE_MEMORY) is "
            f"{_mebibytes(budget)}"
        )


class NoRoom(Exception):
    """The versions in use left no room for another one in time."""


@dataclass(frozen=True)
class Closing:
    """A version whose last user is over; `bytes` are free when `task` is done."""

    bytes: int
    task: asyncio.Task[None]


class Residents:
    """Counts what the versions that are loaded take of the device's memory. Used from one event loop.

    Versions are closed in threads: on a card that may wait for a neighbour's capture. One that is being closed counts
    until it is.

    Args:
        budget: bytes that all versions together may take; None for any number.
        metrics: told of evictions.
        closed: called with each entry that left for good.
    """

    def __init__(self, budget: int | None, metrics: Metrics, closed: Callable[[Entry], None]) -> None:
        self.budget = budget
        self._metrics, self._closed = metrics, closed
        self._there: dict[Entry, None] = {}
        self._closing: dict[Entry, Closing] = {}
        self._changed = asyncio.Event()

    @property
    def bytes(self) -> int:
        """What all versions on the device take, those that are leaving too."""
        there = sum(entry.bytes for entry in self._there)
        return there + sum(closing.bytes for closing in self._closing.values())

    def add(self, entry: Entry) -> None:
        """It is on the device from now on."""
        self._there[entry] = None

    def settle(self, entry: Entry) -> None:
        """Nobody uses it at the moment: begin to close it if it is to go."""
        self._changed.set()
        if not entry.users and (entry.retired or entry.leaving):
            self._dismiss(entry)

    async def gone(self, entry: Entry) -> None:
        """Return when its close is over, if one has begun."""
        closing = self._closing.get(entry)
        if closing is not None:
            await asyncio.wait([closing.task])

    async def close(self) -> None:
        """Retire all, used or not, and return when they are closed, those too that were closing anyway."""
        for entry in list(self._there):
            entry.retired = True
            self._dismiss(entry)
        if self._closing:
            await asyncio.wait([closing.task for closing in self._closing.values()])

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
                if now >= end:
                    raise NoRoom
                await self._change(min(end - now, next_due(self._residents(), now) or end - now))
        finally:
            now = monotonic()
            for entry in self._there:
                if entry.leaving:
                    entry.leaving, entry.since = False, now + TURN * (now - begun)

    async def relieve(self) -> bool:
        """Return when a version is off the device: one that is closing, or the least recently used that is idle.

        False where there is none.
        """
        if not self._closing:
            idle = [entry for entry in self._there if entry.open and entry.on_device and not entry.users]
            if not idle:
                return False
            self._leave(min(idle, key=lambda entry: entry.last_used))
        await asyncio.wait([closing.task for closing in self._closing.values()], return_when=asyncio.FIRST_COMPLETED)
        return True

    def _ask_to_leave(self, missing: int, now: float) -> None:
        """Choose who shall go, unless those that go anyway suffice."""
        coming = self.bytes - sum(entry.bytes for entry in self._there if entry.open)
        if coming < missing:
            for entry in choose(self._residents(), missing - coming, now):
                self._leave(entry)

    def _leave(self, entry: Entry) -> None:
        entry.leaving = True
        self.settle(entry)

    def _dismiss(self, entry: Entry) -> None:
        """Begin to close it, unless that has begun, or is over."""
        if entry in self._there and entry.loaded is not None:
            if not entry.retired:
                self._metrics.evictions.inc()
            entry.leaving = True
            del self._there[entry]
            task = asyncio.create_task(self._close(entry, entry.loaded), name=f"condflow-close-{entry.key[0]}")
            self._closing[entry] = Closing(entry.bytes, task)
        elif entry.retired and entry not in self._closing:
            self._closed(entry)

    async def _close(self, entry: Entry, loaded: Loaded) -> None:
        try:
            await asyncio.to_thread(loaded.close)
        except Exception:
            _log.exception("closing %s version %d failed", *entry.key)
        finally:
            entry.loaded, entry.leaving = None, False
            del self._closing[entry]
            self._changed.set()
            if entry.retired:
                self._closed(entry)

    def _residents(self) -> list[Resident[Entry]]:
        return [
            Resident(entry, entry.bytes, entry.users, entry.last_used, entry.since, entry.load_s)
            for entry in self._there
            if entry.open and entry.on_device
        ]

    async def _change(self, seconds: float) -> None:
        """Return when a version is not used any more, or after so long."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
