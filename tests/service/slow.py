"""An engine that waits for the test, or fails at its word."""

from __future__ import annotations

import threading
from typing import Any

from tests.service.harness import Running


class Slow:
    """Stands before an engine and holds its calls until released, or makes them fail."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.hold = threading.Event()
        self.entered = threading.Event()
        self.failure: Exception | None = None

    def run(self, operation: Any, inputs: Any) -> Any:
        self.entered.set()
        assert self.hold.wait(60)
        if self.failure is not None:
            raise self.failure
        return self.engine.run(operation, inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


def slow_down(service: Running, name: str) -> Slow:
    """Replace the engine of a loaded version; the rest of the service is real."""
    entry = service.parts.registry._entries[(name, 1)]
    slow = Slow(entry.loaded.engine)
    object.__setattr__(entry.loaded, "engine", slow)
    return slow
