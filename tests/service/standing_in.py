"""What stands before the engine of a loaded version, to let a test hold or change a part of it; the rest is real."""

from __future__ import annotations

from typing import Any

from service.registry import Registry


class StandIn:
    """Takes the place of the engine of version 1 of a model; what it does not define is the engine's."""

    def __init__(self, registry: Registry, name: str) -> None:
        loaded = registry._entries[(name, 1)].loaded
        assert loaded is not None
        self.engine: Any = loaded.engine
        object.__setattr__(loaded, "engine", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)
