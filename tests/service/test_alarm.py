"""An alarm rings once, at the time that was set last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from service.alarm import Alarm

FAR = 1e6


class Bell:
    """An alarm and what it has called, in a loop whose timers are counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alarm, self.rang, self.timers = Alarm(), list[str](), 0
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def counting(delay: float, call: Callable[..., Any], *arguments: Any) -> asyncio.TimerHandle:
            self.timers += 1
            return call_later(delay, call, *arguments)

        monkeypatch.setattr(loop, "call_later", counting)

    def set(self, in_s: float, name: str) -> None:
        self.alarm.set(monotonic() + in_s, lambda: self.rang.append(name))


async def pending() -> None:
    """Until timers that are due by now have run."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_at(asyncio.get_running_loop().time() + 0.01, done.set_result, None)
    await done


def test_the_last_one_set_rings_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        bell = Bell(monkeypatch)
        bell.set(0.0, "first")
        bell.set(0.0, "second")
        await pending()
        assert bell.rang == ["second"]
        await pending()
        assert bell.rang == ["second"]

    asyncio.run(test())


def test_putting_it_off_costs_no_timer_until_the_earlier_one_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        bell = Bell(monkeypatch)
        bell.set(0.0, "early")
        for _ in range(100):
            bell.set(FAR, "late")
        assert bell.timers == 1
        await pending()
        assert (bell.rang, bell.timers) == ([], 2)
        bell.set(0.0, "earlier")
        await pending()
        assert bell.rang == ["earlier"]
        bell.alarm.close()

    asyncio.run(test())


@pytest.mark.parametrize("end", [Alarm.off, Alarm.close])
def test_what_is_taken_back_does_not_ring(monkeypatch: pytest.MonkeyPatch, end: Callable[[Alarm], None]) -> None:
    async def test() -> None:
        bell = Bell(monkeypatch)
        bell.set(0.0, "never")
        end(bell.alarm)
        await pending()
        assert bell.rang == []
        bell.set(0.0, "again")
        await pending()
        assert bell.rang == ["again"]

    asyncio.run(test())
