"""Deficit round robin (Shreedhar & Varghese 1995): whose turn it is, when turns cost different amounts."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

Member = TypeVar("Member", bound=Hashable)


class Turns(Generic[Member]):
    """A ring of members with credit, in seconds of engine time. Whoever is in front and has credit goes next.

    A member in front without credit gets `quantum` and goes to the back; time taken is charged by `charge`, so that
    credit may become a debt, which later rounds pay off; it is never more than `longest`, so that room that nobody else
    wanted is not paid for forever. A newcomer starts with one quantum, at the back.

    >>> turns = Turns[str](quantum=1.0, longest=9.0)
    >>> turns.add("a"); turns.add("b")
    >>> order = []
    >>> for _ in range(6):
    ...     order.append(turns.next()); turns.charge(order[-1], 3.0 if order[-1] == "a" else 1.0)
    >>> "".join(order)
    'abbbab'
    """

    def __init__(self, quantum: float, longest: float) -> None:
        self._quantum, self._longest = quantum, longest
        self._credit: dict[Member, float] = {}

    def __len__(self) -> int:
        return len(self._credit)

    def __contains__(self, member: Member) -> bool:
        return member in self._credit

    def __iter__(self) -> Iterator[Member]:
        """From the front."""
        return iter(self._credit)

    def add(self, member: Member) -> None:
        """At the back; no effect for a member."""
        self._credit.setdefault(member, self._quantum)

    def remove(self, member: Member) -> None:
        """Take it out, credit or debt with it; no effect for a stranger."""
        self._credit.pop(member, None)

    def next(self) -> Member:
        """The member whose turn it is; it stays in front until its credit is spent. Raises LookupError if empty."""
        while self._credit:
            member, credit = next(iter(self._credit.items()))
            if credit > 0:
                return member
            del self._credit[member]
            self._credit[member] = credit + self._quantum
        raise LookupError("nobody waits")

    def in_credit(self, member: Member) -> bool:
        """Whether it may ride along without being in debt."""
        return self._credit[member] > 0

    def charge(self, member: Member, seconds: float) -> None:
        """Take from its credit; no effect for one that has left."""
        if member in self._credit:
            self._credit[member] = max(self._credit[member] - seconds, -self._longest)


def level(wanted: Sequence[int], room: int) -> list[int]:
    """Max-min fair shares of `room`: nobody gets more than wanted, and what small ones leave the others divide.

    Where it does not come out even, the first ones get one more.

    >>> level([1, 10, 4], 9)
    [1, 4, 4]
    >>> level([5, 5, 5], 7)
    [3, 2, 2]
    """
    shares = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    for done, place in enumerate(order):
        even = room // (len(order) - done)
        if wanted[place] > even:  # neither this nor any later one is content: divide the rest evenly
            rest = sorted(order[done:])
            for rank, late in enumerate(rest):
                shares[late] = even + (rank < room - even * len(rest))
            break
        shares[place] = wanted[place]
        room -= wanted[place]
    return shares
