from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from benchmarks.serving.contestants import NOOP, PEERS, condflow
from benchmarks.serving.load import Load, run
from benchmarks.serving.page import figures, page

Answering = Callable[[int], Awaitable[int]]
CELL = {
    "requests_per_s": 100.0,
    "answers": 10,
    "failed": 0,
    "p50_ms": 1.0,
    "p99_ms": 2.0,
    "p999_ms": 3.0,
    "generator_cpu": 0.1,
}
BARE = {"1": 0.001, "64": 0.008, "1024": 0.12}


async def _under(load: Callable[[int], Load], answering: Answering) -> dict[str, Any]:
    """What the generator says of a server that gives request i the status `answering(i)`."""
    arrived = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        while await _read_request(reader):
            arrived += 1
            status = await answering(arrived)
            writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 2\r\n\r\nok" % status)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await run(load(server.sockets[0].getsockname()[1]))


async def _read_request(reader: asyncio.StreamReader) -> bool:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
    return len(await reader.readexactly(int(length.removeprefix(b"content-length: ")))) > 0


def test_an_open_loop_does_not_wait_for_answers() -> None:
    everyone = asyncio.Event()

    async def when_all_are_there(arrived: int) -> int:
        if arrived == 5:
            everyone.set()
        await everyone.wait()
        return 200

    def load(port: int) -> Load:
        return Load(port, "/", {}, "{}", seconds=0.05, rate=100.0, warm_s=0.0)

    assert asyncio.run(_under(load, when_all_are_there))["statuses"] == {"200": 5}


def test_refusals_are_counted_apart_and_have_no_latency() -> None:
    async def every_second(arrived: int) -> int:
        return 200 if arrived % 2 else 503

    def load(port: int) -> Load:
        return Load(port, "/", {}, "{}", seconds=0.1, rate=100.0, warm_s=0.0)

    found = asyncio.run(_under(load, every_second))
    assert found["statuses"] == {"200": 5, "503": 5}
    assert found["answers"] == 5


def test_what_never_answers_is_unanswered() -> None:
    async def never(_arrived: int) -> int:
        await asyncio.Event().wait()
        return 200

    def load(port: int) -> Load:
        return Load(port, "/", {}, "{}", seconds=0.03, rate=100.0, warm_s=0.0, grace_s=0.1)

    found = asyncio.run(_under(load, never))
    assert found["statuses"] == {"unanswered": 3}
    assert found["in_time_per_s"] == 0


def _raw(rate: float, **parts: Any) -> dict[str, Any]:
    cells = {count: {**CELL, "requests_per_s": rate} for count in ("1", "16", "64")}
    about = {"when": "2026-01-01T00:00:00+00:00", "seconds": 1.0, "commit": "c", "versions": "v", "errors": {}}
    return {**about, "a": cells, "bare": {"onnx": BARE, "torch": BARE}, **parts}


def test_ratios_are_to_the_best_peer() -> None:
    raws = {"condflow": _raw(800.0), "no-op FastAPI": _raw(1000.0), "LitServe": _raw(100.0), "BentoML": _raw(400.0)}
    found = {figure.quantity: figure for figure in figures(raws)}
    assert found["a: requests/s at 64 clients / best peer's"].value == pytest.approx(2.0)
    assert found["a: requests/s at 64 clients / best peer's"].note == "best peer BentoML"
    assert found["a: requests/s at 64 clients / no-op's"].value == pytest.approx(0.8)


def test_a_peer_that_does_not_start_is_told_with_its_error(tmp_path: Any) -> None:
    broken = _raw(0.0, errors={"start": "no such module"})
    del broken["a"], broken["bare"]
    everyone = (NOOP, condflow(tmp_path), *PEERS)
    text = page(everyone, {"condflow": _raw(800.0), "LitServe": broken}).render()
    assert "- LitServe, start: `no such module`" in text
    assert "| Ray Serve |  |" in text
