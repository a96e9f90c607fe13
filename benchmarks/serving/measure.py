"""The five parts, for one contestant: what is asked in which loop, and what is kept of the answers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.record import commit
from benchmarks.serving.contestants import (
    OVERLOAD_S,
    PORT,
    STEADY_S,
    Contestant,
    interpreter,
    variables,
    with_load,
)
from benchmarks.serving.pinned import SERVER_CORE, Failed, Server, ask, environment, generate, pinned, wrk

Raw = dict[str, Any]
PARTS = ("a", "b", "c", "d", "e")
CONCURRENCIES = (1, 16, 64)
NEIGHBOUR_ROWS = 10_000
MANY_ROWS = 100_000
HEAVY_ROWS = 64
OVERLOAD = 3.0
HEAVY_CLIENTS = 16


class Bench:
    """Measures contestants one after another; `folder` holds the store, the plain files, logs and raw results."""

    def __init__(self, folder: Path, store: Path, flow: Path, peers_python: Path, seconds: float) -> None:
        self._folder, self._store, self._flow, self._peers = folder, store, flow, peers_python
        self._seconds = seconds

    def bare(self) -> Raw:
        """Seconds per call of the bare engines, on the server's core."""
        command = [sys.executable, "-m", "benchmarks.serving.bare", str(self._store), "0.5"]
        done = subprocess.run(
            pinned(SERVER_CORE, command), env=environment({}), stdout=subprocess.PIPE, text=True, check=True
        )
        return json.loads(done.stdout)

    def measure(self, contestant: Contestant, parts: Sequence[str]) -> Raw:
        """All `parts` of one contestant; what fails is told in `errors`."""
        raw: Raw = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": self._seconds}
        raw |= {"commit": commit(), "versions": self._versions(contestant), "errors": {}}
        if contestant.name == "no-op FastAPI":
            parts = [part for part in parts if part == "a"]
        started = time.perf_counter()
        starts: list[float] = []
        try:
            raw["bare"] = self.bare()
            if set(parts) & {"a", "b", "c", "e"}:
                self._steady(contestant, parts, raw, starts)
            if "d" in parts:
                with self._server(contestant, OVERLOAD_S) as server:
                    starts.append(server.ready_s)
                    self._try(raw, "d", lambda: self._overload(contestant))
        except (Failed, OSError, subprocess.SubprocessError) as error:
            raw["errors"]["start"] = str(error)
        if "e" in parts and starts:
            raw["e"] = raw.get("e", {}) | {"starts_s": starts, "ready_s": sorted(starts)[len(starts) // 2]}
        raw["took_s"] = time.perf_counter() - started
        return raw

    def _steady(self, contestant: Contestant, parts: Sequence[str], raw: Raw, starts: list[float]) -> None:
        if "e" in parts:
            with self._server(contestant, STEADY_S) as server:
                starts.append(server.ready_s)
        with self._server(contestant, STEADY_S) as server:
            starts.append(server.ready_s)
            if "e" in parts:
                raw["e"] = {"ready_mib": server.memory_mib()}
            if "a" in parts:
                self._try(raw, "a", lambda: self._single_rows(contestant))
                raw.setdefault("e", {})["loaded_mib"] = server.memory_mib()
            if "b" in parts:
                self._try(raw, "b", lambda: self._neighbour(contestant))
            if "c" in parts:
                self._try(raw, "c", lambda: self._many_rows(contestant))

    def _server(self, contestant: Contestant, deadline_s: float) -> Server:
        command = contestant.command(interpreter(contestant, self._peers), PORT)
        log = self._folder / "logs" / f"{contestant.name}.{deadline_s:g}.log"
        return Server(command, variables(contestant, self._flow, deadline_s), PORT, contestant.load(1), log)

    def _single_rows(self, contestant: Contestant) -> Raw:
        load = contestant.load(1)
        return {str(count): wrk(with_load(load, connections=count, seconds=self._seconds)) for count in CONCURRENCIES}

    def _neighbour(self, contestant: Contestant) -> Raw:
        seconds = max(self._seconds, 8.0)
        load = with_load(contestant.load(1), seconds=seconds, warm_s=2.0)
        neighbour = with_load(contestant.load(NEIGHBOUR_ROWS), seconds=seconds + 3.0, warm_s=0.0)
        return {"alone": generate(load), "beside": generate(load, neighbour)}

    def _many_rows(self, contestant: Contestant) -> Raw:
        before = self.bare()
        found: Raw = {}
        for encoding in ("json", "npz") if contestant.binary else ("json",):
            status, body, seconds = ask(contestant.load(MANY_ROWS, npz=encoding == "npz"))
            if status != 200:
                raise Failed(f"{encoding}: {status} {body[:200]!r}")
            found[encoding] = {"seconds": seconds, "bytes": len(body)}
        after = self.bare()
        found["bare"] = {
            engine: {rows: (seconds + after[engine][rows]) / 2 for rows, seconds in calls.items()}
            for engine, calls in before.items()
        }
        return found

    def _overload(self, contestant: Contestant) -> Raw:
        load = with_load(contestant.load(HEAVY_ROWS, deadline_s=OVERLOAD_S), seconds=self._seconds, warm_s=1.0)
        full = generate(with_load(load, connections=HEAVY_CLIENTS))
        capacity = full["requests_per_s"]
        if not capacity:
            raise Failed(f"nothing was answered at {HEAVY_CLIENTS} clients: {full['statuses']}")
        over = generate(with_load(load, rate=OVERLOAD * capacity, deadline_s=OVERLOAD_S))
        return {"capacity": full, "overload": over}

    def _try(self, raw: Raw, part: str, measure: Any) -> None:
        try:
            raw[part] = measure()
        except (Failed, OSError) as error:
            raw["errors"][part] = str(error) or type(error).__name__

    def _versions(self, contestant: Contestant) -> str:
        script = "import sys, benchmarks.record as record; print(record.packages(sys.argv[1:]))"
        command = [str(interpreter(contestant, self._peers)), "-c", script, *contestant.packages]
        try:
            done = subprocess.run(command, env=environment({}), capture_output=True, text=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            return "not installed"
        return done.stdout.strip()
