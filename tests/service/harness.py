"""The service over real HTTP: uvicorn in a thread on a port of its own, and waiting without sleeping blindly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.parts import Parts
from service.routes.health import take_gauges
from service.serve import Server, server_of
from service.settings import Settings
from tests.support.exposition import Samples, samples_of

PATIENCE_S = 60.0


def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Return when `condition()` holds; fail when it does not within PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {PATIENCE_S} s")
        time.sleep(0.005)


@dataclass
class Running:
    """A service that answers on `url`."""

    server: Server
    port: int
    client: httpx.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def parts(self) -> Parts:
        return self.server.parts

    def metrics(self) -> Samples:
        """Every sample of /metrics: (name, sorted labels) -> value."""
        take_gauges(self.parts)
        return samples_of(self.parts.metrics.render().decode())


@contextmanager
def running(store: Path, *, ready: bool = True, **settings: object) -> Iterator[Running]:
    """Serve `store` in a thread; stops at the end."""
    values = {"store": store, "port": 0, "threads": 1, "poll_seconds": 0.05, **settings}
    server = server_of(Settings(**values))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive(), "the server's start")
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
        service = Running(server, port, client)
        try:
            if ready:
                until(lambda: server.announced.is_set() or server.parts.registry.failures(), "the announcement")
                assert not server.parts.registry.failures()
                until(lambda: server.parts.registry.ready and not server.parts.registry.pending, "the models")
            yield service
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the server did not stop"
