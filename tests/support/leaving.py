"""A client that leaves at a moment that chance chooses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

from tests.support.wire import Request, Wire

MOMENTS = ("connected", "head", "body", "asked", "answer", "stream")
PAUSE_S = 0.06  # longer than most requests take, so that some are left in each of their stages


async def leave(port: int, chance: random.Random, requests: Sequence[Request], stream: Request) -> str:
    """Ask one of `requests`, or `stream`, and leave: with a reset or politely. Which moment it was."""
    moment = chance.choice(MOMENTS)
    request = stream if moment == "stream" else chance.choice(requests)
    wire = await Wire.open(port)
    try:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            match moment:
                case "connected":
                    pass
                case "head":
                    await wire.send(request.head[: chance.randrange(len(request.head))])
                case "body":
                    await wire.send(request.head + request.body[: chance.randrange(len(request.body))])
                case "asked":
                    await wire.send(request.whole)
                    await asyncio.sleep(chance.random() * PAUSE_S)
                case _:
                    await wire.send(request.whole)
                    await wire.some(chance.randrange(1, 200))
    finally:
        wire.leave(abruptly=chance.random() < 0.5)
    return moment
