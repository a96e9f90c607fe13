"""The five parts, for one contestant in one round: what is asked in which loop, and what is kept of the answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving.contestants import (
    NOOP,
    OVERLOAD_S,
    PORT,
    STEADY_S,
    Contestant,
    interpreter,
    variables,
    with_load,
)
from benchmarks.serving.pinned import SERVER_CORE, Failed, Server, ask, environment, generate, pinned, wrk
from benchmarks.serving.rounds import Record

PARTS = ("a", "b", "c", "d", "e")
CONCURRENCIES = (1, 16, 64)
NEIGHBOUR_ROWS = 10_000
MANY_ROWS = 100_000
ENGINES = ("onnx", "torch")
BARE_ROWS = (1, 64, 1024)
LARGE_ROWS = (64, 256, 1024)
"""Rows of the bare engines' calls: before part a, and around the many rows of part c."""
HEAVY_ROWS = 64
OVERLOAD = 3.0
HEAVY_CLIENTS = 16


def plan(contestants: Sequence[Contestant], parts: Sequence[str], rounds: int) -> Iterator[tuple[int, str, Contestant]]:
    """Round after round, in it part after part, in it contestant after contestant: one part of all lies close together.

    The no-op has part a alone; peers take part in the other parts in the first round only: no goal compares them there.
    """
    for number in range(rounds):
        for part in parts:
            for contestant in contestants:
                if part == "a" or (contestant is not NOOP and (number == 0 or not contestant.peer)):
                    yield number, part, contestant


class Bench:
    """Measures one part of one contestant at a time; `folder` takes the servers' logs."""

    def __init__(self, folder: Path, store: Path, flow: Path, peers_python: Path, seconds: float) -> None:
        self._folder, self._store, self._flow, self._peers = folder, store, flow, peers_python
        self._seconds = seconds

    def measure(self, contestant: Contestant, part: str) -> Record:
        """One round of one part on a server of its own; `{"error": text}` where that failed."""
        parts = {
            "a": self._single_rows,
            "b": self._neighbour,
            "c": self._many_rows,
            "d": self._overload,
            "e": self._start,
        }
        try:
            return parts[part](contestant)
        except (Failed, OSError, subprocess.SubprocessError) as error:
            return {"error": str(error) or type(error).__name__}

    def versions(self, contestant: Contestant) -> str:
        """Its packages in its environment."""
        script = "import sys, benchmarks.record as record; print(record.packages(sys.argv[1:]))"
        command = [str(interpreter(contestant, self._peers)), "-c", script, *contestant.packages]
        try:
            done = subprocess.run(command, env=environment({}), capture_output=True, text=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            return "not installed"
        return done.stdout.strip()

    def _bare(self, engines: Sequence[str], rows: Sequence[int], budget_s: float) -> dict[str, dict[str, float]]:
        """Seconds per call of the bare engines, on the server's core."""
        options = [str(self._store), str(budget_s), ",".join(engines), ",".join(map(str, rows))]
        command = pinned(SERVER_CORE, [sys.executable, "-m", "benchmarks.serving.bare", *options])
        done = subprocess.run(command, env=environment({}), stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout)

    def _server(self, contestant: Contestant, deadline_s: float = STEADY_S) -> Server:
        command = contestant.command(interpreter(contestant, self._peers), PORT)
        log = self._folder / "logs" / f"{contestant.name}.{deadline_s:g}.log"
        return Server(command, variables(contestant, self._flow, deadline_s), PORT, contestant.load(1), log)

    def _single_rows(self, contestant: Contestant) -> Record:
        """The bare engines right before it, the cells by number of clients, and the memory after all of them."""
        bare = self._bare(ENGINES, BARE_ROWS, 0.2)
        load = contestant.load(1)
        with self._server(contestant) as server:
            cells = {
                str(count): wrk(with_load(load, connections=count, seconds=self._seconds)) for count in CONCURRENCIES
            }
            return {"bare": bare, "cells": cells, "loaded_mib": server.memory_mib()}

    def _neighbour(self, contestant: Contestant) -> Record:
        seconds = max(self._seconds, 8.0)
        load = with_load(contestant.load(1), seconds=seconds, warm_s=2.0)
        neighbour = with_load(contestant.load(NEIGHBOUR_ROWS), seconds=seconds + 3.0, warm_s=0.0)
        with self._server(contestant):
            return {"alone": generate(load), "beside": generate(load, neighbour)}

    def _many_rows(self, contestant: Contestant) -> Record:
        """By encoding, how long the answer took, and its bare engine before and after it."""
        engine = "torch" if contestant.peer else "onnx"
        found: Record = {}
        with self._server(contestant):
            ask(contestant.load(NEIGHBOUR_ROWS))  # not counted: the server is new
            before = self._bare([engine], LARGE_ROWS, 1.0)[engine]
            for encoding in ("json", "npz") if contestant.binary else ("json",):
                status, body, seconds = ask(contestant.load(MANY_ROWS, npz=encoding == "npz"))
                if status != 200:
                    raise Failed(f"{encoding}: {status} {body[:200]!r}")
                after = self._bare([engine], LARGE_ROWS, 1.0)[engine]
                found[encoding] = {"seconds": seconds, "bytes": len(body), "bare": [before, after]}
                before = after
        return found

    def _overload(self, contestant: Contestant) -> Record:
        """The closed loop, the overload, and for condflow, which leaves no queue behind, the closed loop again."""
        load = with_load(contestant.load(HEAVY_ROWS, deadline_s=OVERLOAD_S), seconds=self._seconds, warm_s=1.0)
        closed = with_load(load, connections=HEAVY_CLIENTS)
        with self._server(contestant, OVERLOAD_S):
            full: list[dict[str, Any]] = [generate(closed)]
            capacity = full[0]["requests_per_s"]
            if not capacity:
                raise Failed(f"nothing was answered at {HEAVY_CLIENTS} clients: {full[0]['statuses']}")
            over = generate(with_load(load, rate=OVERLOAD * capacity, deadline_s=OVERLOAD_S))
            if not contestant.peer:
                full.append(generate(closed))
        return {"capacity": full, "overload": over}

    def _start(self, contestant: Contestant) -> Record:
        with self._server(contestant) as server:
            return {"ready_s": server.ready_s, "ready_mib": server.memory_mib()}
