"""A load generator of our own: closed loop for raw latencies, open loop by schedule. Prints one JSON object.

Open loop: request i is due at i / rate whatever became of the ones before it, on a connection of its own if all others
wait; its latency counts from when it was due. So a server that stalls is charged for the stall (no coordinated
omission). Run as a process, pinned to the load generator's core: `python -m benchmarks.serving.load SPEC`.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import httptools
import numpy as np
import uvloop


@dataclass(frozen=True)
class Load:
    """One run: `connections` in a closed loop, or, where `rate` (requests per second) is set, an open one.

    The first `warm_s` seconds are not counted. `grace_s`: how long the last answers are waited for.
    """

    port: int
    path: str
    headers: dict[str, str]
    body: str
    seconds: float
    connections: int = 1
    rate: float | None = None
    warm_s: float = 0.5
    grace_s: float = 5.0
    deadline_s: float = 1.0


@dataclass
class Tally:
    """What came back: latencies in seconds of the answers with status 200, and how often each status came."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, status: str, latency: float) -> None:
        self.statuses[status] += 1
        if status == "200":
            self.latencies.append(latency)


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[str] | None = None
        self.usable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self._parser = httptools.HttpResponseParser(self)

    def ask(self, request: bytes) -> asyncio.Future[str]:
        """The status of its answer, or `closed`."""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.usable = self._parser.should_keep_alive()
        self._settle(str(self._parser.get_status_code()))
        self._parser = httptools.HttpResponseParser(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.usable = False
        self._settle("closed")

    def _settle(self, status: str) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(status)


async def run(load: Load) -> dict[str, Any]:
    """One run, summed up."""
    head = {"host": f"127.0.0.1:{load.port}", **load.headers, "content-length": str(len(load.body))}
    lines = [f"POST {load.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    request = "\r\n".join(lines).encode() + load.body.encode()
    started, cpu = time.perf_counter(), time.process_time()
    seconds, tally = await (_closed(load, request) if load.rate is None else _open(load, request))
    busy = (time.process_time() - cpu) / (time.perf_counter() - started)
    return summary(tally, seconds, load.deadline_s) | {"generator_cpu": busy}


def summary(tally: Tally, seconds: float, deadline_s: float) -> dict[str, Any]:
    """Rates, and percentiles in milliseconds.

    >>> summary(Tally([0.001, 0.002, 0.003], Counter({"200": 3})), 1.0, 0.0025)["in_time_per_s"]
    2.0
    """
    found = {
        "requests_per_s": len(tally.latencies) / seconds,
        "in_time_per_s": sum(latency <= deadline_s for latency in tally.latencies) / seconds,
        "answers": len(tally.latencies),
        "statuses": dict(tally.statuses),
    }
    return found | percentiles(tally.latencies)


def percentiles(latencies: Sequence[float]) -> dict[str, float]:
    """p50, p99, p99.9 and the maximum in milliseconds; nothing where there is nothing."""
    if not latencies:
        return {}
    p50, p99, p999, most = (1e3 * np.quantile(latencies, (0.5, 0.99, 0.999, 1.0))).tolist()
    return {"p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "max_ms": most}


async def _closed(load: Load, request: bytes) -> tuple[float, Tally]:
    tally = Tally()
    first = time.perf_counter() + load.warm_s
    last = first + load.seconds

    async def client() -> None:
        connection = await _connect(load.port)
        while (started := time.perf_counter()) < last:
            if not connection.usable:
                connection = await _connect(load.port)
            status = await connection.ask(request)
            if started >= first:
                tally.add(status, time.perf_counter() - started)
        connection.transport.abort()

    async with asyncio.TaskGroup() as group:
        for _ in range(load.connections):
            group.create_task(client())
    return max(time.perf_counter() - first, load.seconds), tally


async def _open(load: Load, request: bytes) -> tuple[float, Tally]:
    assert load.rate is not None
    tally = Tally()
    idle: list[Connection] = []
    start = time.perf_counter() + 0.05
    skipped = int(load.warm_s * load.rate)
    count = skipped + int(load.seconds * load.rate)

    async def one(number: int, due: float) -> None:
        counted = number >= skipped
        try:
            usable = [connection for connection in idle if connection.usable]
            connection = usable[-1] if usable else await _connect(load.port)
            if usable:
                idle.remove(connection)
            status = await connection.ask(request)
            idle.append(connection)
        except OSError:
            status = "refused"
        except asyncio.CancelledError:
            status = "unanswered"
        if counted:
            tally.add(status, time.perf_counter() - due)

    tasks = set()
    for number in range(count):
        due = start + number / load.rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.add(asyncio.create_task(one(number, due)))
    _, late = await asyncio.wait(tasks, timeout=load.grace_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return load.seconds, tally


async def _connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


def spec(load: Load) -> str:
    """As the process takes it."""
    return json.dumps(asdict(load))


def main() -> None:
    """Run the load of the first argument."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(uvloop.run(run(Load(**json.loads(sys.argv[1]))))))


if __name__ == "__main__":
    main()
