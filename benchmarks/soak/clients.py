"""Who asks: clients that check every answer, clients that send rubbish, clients that leave, and an operator."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field

from benchmarks.soak.diary import Diary
from benchmarks.soak.subject import ENDLESS, MEASURED, MODELS, QUESTIONS
from model_store.store import Store
from tests.attacks.bodies.corpus import all_attacks
from tests.support.leaving import leave
from tests.support.wire import Answer, Request, Wire

ATTACKS = all_attacks()  # made before anybody asks: it takes a while
THINK_S = 0.02
ENDS = (ConnectionError, asyncio.IncompleteReadError)


@dataclass
class World:
    """What all clients share. `up` is cleared before a signal is sent and set when the service answers again."""

    port: int
    diary: Diary
    expected: dict[str, bytes] = field(default_factory=dict)
    up: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    lives: int = 1

    async def learn(self) -> None:
        """What each question is answered with in quiet times."""
        wire = await Wire.open(self.port)
        for kind, request in QUESTIONS.items():
            answer = await wire.ask(request)
            if answer.status != 200:
                raise RuntimeError(f"{kind}: {answer.status} {answer.body[:200]!r}")
            self.expected[kind] = content_of(answer)
        wire.leave()


def content_of(answer: Answer) -> bytes:
    """The body without the version that answered: both say the same."""
    return re.sub(rb'"version":\d+,"digest":"[0-9a-f]{64}"', b"", answer.body)


async def asker(world: World, kind: str) -> None:
    """Ask one question again and again on one connection, and compare every answer."""
    request, wire, life = QUESTIONS[kind], None, 0
    while not world.over.is_set():
        await world.up.wait()
        if life != world.lives:  # its process is gone
            wire, life = None, world.lives
        started = world.diary.now
        try:
            wire = wire or await Wire.open(world.port)
            answer = await wire.ask(request)
        except ENDS as error:
            wire = None
            _ended(world, kind, life, error)
            continue
        _judge(world, kind, answer)
        if kind == MEASURED and answer.status == 200:
            world.diary.latencies.append((started, world.diary.now - started))
        await asyncio.sleep(THINK_S)
    if wire is not None:
        wire.leave()


def _judge(world: World, kind: str, answer: Answer) -> None:
    if answer.status in (503, 504):
        world.diary.add(kind, "shed")
    elif answer.status == 200 and content_of(answer) == world.expected[kind]:
        world.diary.add(kind, "answered")
    else:
        world.diary.fail(kind, f"{answer.status} {answer.body[:150]!r}")


def _ended(world: World, kind: str, life: int, error: Exception) -> None:
    if life != world.lives or not world.up.is_set():
        world.diary.add(kind, "interrupted")
    else:
        world.diary.fail(kind, f"the connection ended: {error!r}")


async def attacker(world: World, chance: random.Random) -> None:
    """Hostile bodies, each of which must be refused."""
    kind = "hostile bodies"
    while not world.over.is_set():
        await world.up.wait()
        life, attack = world.lives, chance.choice(ATTACKS)
        request = Request(f"/loglik?model={MODELS[0]}", attack.body, {"Content-Type": attack.media})
        try:
            wire = await Wire.open(world.port)
            answer = await wire.ask(request)
            wire.leave()
        except ENDS as error:
            _ended(world, kind, life, error)
            continue
        if answer.status in (503, 504):
            world.diary.add(kind, "shed")
        elif 400 <= answer.status < 500:
            world.diary.add(kind, "refused")
        else:
            world.diary.fail(kind, f"{attack.name}: {answer.status} {answer.body[:150]!r}")
        await asyncio.sleep(5 * THINK_S)


async def leaver(world: World, chance: random.Random) -> None:
    """Requests and streams that are left at any moment."""
    requests = list(QUESTIONS.values())
    while not world.over.is_set():
        await world.up.wait()
        try:
            moment = await leave(world.port, chance, requests, ENDLESS)
        except ENDS:
            continue  # nobody listened
        world.diary.add(f"left: {moment}", "left")
        await asyncio.sleep(THINK_S)


async def operator(world: World, store: Store) -> None:
    """Moves the champions back and forth between versions that answer the same."""
    turn = 0
    while not world.over.is_set():
        turn += 1
        for name in MODELS:
            await asyncio.to_thread(store.set_alias, name, "champion", 1 + turn % 2)
            world.diary.moves += 1
        await asyncio.sleep(1.0)
