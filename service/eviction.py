"""Which versions leave a full device for another one, and when: the least recently used, and none before its time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

STAY_S = 1.0
TURN = 4.0  # times as long as a load takes

Key = TypeVar("Key")


@dataclass(frozen=True)
class Resident(Generic[Key]):
    """A version on the device. Times by one clock, in seconds; `load_s` is what bringing it back takes."""

    key: Key
    bytes: int
    users: int
    last_used: float
    since: float
    load_s: float

    @property
    def due(self) -> float:
        """When it may be asked to leave.

        due = since + max(STAY_S, TURN load_s) while it is used, so that at most a fifth of the time goes to loading
        however many want the device in turn; unused, min of that and last_used + load_s: whoever waits for its place
        then waits no longer than bringing it back would take.
        """
        turn = self.since + max(STAY_S, TURN * self.load_s)
        return turn if self.users else min(turn, self.last_used + self.load_s)


def choose(residents: Collection[Resident[Key]], missing: int, now: float) -> list[Key]:
    """The versions to put off so that `missing` bytes come free; none where those that are due do not suffice.

    Unused ones go first, and the least recently used of them; one whose bytes the others free anyway may stay.
    """
    due = [resident for resident in residents if resident.due <= now]
    chosen, freed = [], 0
    for resident in sorted(due, key=lambda resident: (resident.users > 0, resident.last_used)):
        if freed >= missing:
            break
        chosen.append(resident)
        freed += resident.bytes
    if freed < missing:
        return []
    for resident in reversed(list(chosen)):
        if freed - resident.bytes >= missing:
            chosen.remove(resident)
            freed -= resident.bytes
    return [resident.key for resident in chosen]


def next_due(residents: Collection[Resident[Key]], now: float) -> float | None:
    """Seconds until another one is due; None where all are."""
    return min((resident.due - now for resident in residents if resident.due > now), default=None)
