"""Who serves the flow, how each is started and asked, and what was set."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.serving.load import Load
from benchmarks.serving.subject import MODEL

OURS = "condflow"
PORT = 8790
CONDITION = 3
STEADY_S, OVERLOAD_S = 300.0, 1.0
"""The deadline that servers are configured with: none to speak of, and in the overload."""

Command = Callable[[Path, int], list[str]]


@dataclass(frozen=True)
class Contestant:
    """A server of the flow.

    `command(python, port)` starts it with the interpreter of its environment; `packages` are quoted with their
    versions; `settings` say how it is configured. `binary`: whether it was taught to answer npz.
    """

    name: str
    command: Command
    packages: tuple[str, ...]
    settings: str
    peer: bool = True
    binary: bool = True
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> str:
        """Which of the two virtual environments it runs in."""
        return "peers" if self.peer else "own"

    def load(self, rows: int, *, npz: bool = False, deadline_s: float | None = None) -> Load:
        """A request for `rows` samples of one label."""
        headers = {"content-type": "application/json", "accept": "application/x-npz" if npz else "application/json"}
        body: dict[str, object] = {"condition": CONDITION, "num_samples": rows}
        if self.name == OURS:
            body = {"model": MODEL, **body}
            if deadline_s is not None:
                headers["x-request-timeout-ms"] = str(int(1000 * deadline_s))
        elif self.name == "LitServe" and npz:
            body["npz"] = True
        elif self.name == "BentoML":
            body = {"conditions": [CONDITION] * rows}
        return Load(PORT, "/sample", headers, json.dumps(body), 1.0)


def condflow(store: Path) -> Contestant:
    """The service as `make serve` starts it, on a store that holds the flow."""
    return Contestant(
        OURS,
        lambda python, port: [str(python), "-m", "service", "--store", str(store), "--port", str(port)],
        ("onnxruntime", "fastapi", "uvicorn", "orjson"),
        "defaults but CONDFLOW_REQUEST_TIMEOUT_MS=300000; X-Request-Timeout-Ms: 1000 in the overload",
        peer=False,
        env={"CONDFLOW_REQUEST_TIMEOUT_MS": str(int(1000 * STEADY_S))},
    )


def _module(name: str) -> Command:
    return lambda python, _port: [str(python), "-m", f"benchmarks.serving.peers.{name}"]


def _uvicorn(name: str, *more: str) -> Command:
    options = ["--factory", "--no-access-log", "--log-level", "warning", *more]
    return lambda python, port: [
        *(str(python), "-m", "uvicorn", f"benchmarks.serving.peers.{name}:create_app"),
        *("--host", "127.0.0.1", "--port", str(port), *options),
    ]


def _bentoml(python: Path, port: int) -> list[str]:
    target = "benchmarks.serving.peers.bento:Flow"
    return [str(python), "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)]


NOOP = Contestant(
    "no-op FastAPI",
    _uvicorn("noop"),
    ("fastapi", "uvicorn"),
    "reads the body, answers a constant; uvicorn with uvloop and httptools, no access log",
    peer=False,
    binary=False,
)
PEERS = (
    Contestant(
        "LitServe",
        _module("lit"),
        ("litserve", "torch", "fastapi", "uvicorn"),
        "max_batch_size 64 requests, batch_timeout 2 ms, 1 worker, 1 API server; timeout 1 s in the overload",
    ),
    Contestant(
        "BentoML",
        _bentoml,
        ("bentoml", "torch"),
        "batchable over rows, max_batch_size 1024, max_latency_ms = traffic.timeout = 300 s, 1 s in the overload; "
        "1 worker, no access log; the batchable API answers JSON only",
        binary=False,
        env={"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Contestant(
        "Ray Serve",
        _module("rayserve"),
        ("ray", "torch", "fastapi", "uvicorn"),
        "@serve.batch of 64 requests, wait 2 ms, max_ongoing_requests 128, 1 replica, no dashboard, 100 MB object "
        "store; in the overload request_timeout_s 1 and max_queued_requests 64",
        env={"RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Contestant(
        "FastAPI + torch",
        _uvicorn("plain"),
        ("fastapi", "uvicorn", "torch"),
        "a `def` endpoint in FastAPI's thread pool, no batching; uvicorn with uvloop and httptools, no access log",
    ),
)


def interpreter(contestant: Contestant, peers: Path) -> Path:
    """The Python of its environment."""
    return peers if contestant.peer else Path(sys.executable)


def variables(contestant: Contestant, flow: Path, deadline_s: float) -> dict[str, str]:
    """What its process learns by the environment."""
    found = {"BENCH_FLOW": str(flow), "BENCH_PORT": str(PORT), "BENCH_DEADLINE_S": str(deadline_s)}
    if deadline_s == OVERLOAD_S:
        found["BENCH_QUEUE"] = "64"
    return {**found, **contestant.env}


def with_load(load: Load, **changes: float | None) -> Load:
    """The same request in another loop."""
    return replace(load, **changes)  # type: ignore[arg-type]


def chosen(names: Sequence[str], store: Path) -> list[Contestant]:
    """Contestants by name, all where none is named. Raises KeyError."""
    everyone = {contestant.name: contestant for contestant in (NOOP, condflow(store), *PEERS)}
    by_key = {_key(name): contestant for name, contestant in everyone.items()}
    return list(everyone.values()) if not names else [by_key[_key(name)] for name in names]


def _key(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
