"""The client's connection as the app may see it: told at once when it is lost, and to be cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import Scope

from service.alarm import Alarm

EXTENSION = "condflow.connection"


@dataclass
class Connection:
    """One connection; `when_lost` is called once when it ends while somebody waits for that."""

    abort: Callable[[], None]
    lost: bool = False
    when_lost: Callable[[], None] | None = None
    alarm: Alarm = field(default_factory=Alarm)
    """Of the request that is being answered."""

    @property
    def extensions(self) -> dict[str, dict[object, object]]:
        """What the server adds to the scope of each of its requests."""
        return {EXTENSION: {"connection": self}}

    def end(self) -> None:
        """It is lost."""
        self.lost = True
        self.alarm.close()
        if self.when_lost is not None:
            self.when_lost()


def connection_of(scope: Scope) -> Connection | None:
    """The connection of a request; None under servers that do not tell."""
    found: Connection | None = scope.get("extensions", {}).get(EXTENSION, {}).get("connection")
    return found
