"""What the store needs of a place to keep bytes; keys are relative paths with `/`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol


class Backend(Protocol):
    """Keys and bytes, with create-if-absent as the one primitive on which the commit protocol rests.

    Whatever a method has done when it returns survives a power cut.
    """

    def create(self, key: str, content: Iterable[bytes]) -> bool:
        """Write `key`, whole or not at all, unless it is there already; whether this call wrote it."""

    def replace(self, key: str, content: Iterable[bytes]) -> None:
        """Write `key` over whatever is there. Only for keys that name their content, to repair damage."""

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes of `key`, in pieces. Raises FileNotFoundError, or IrregularFile for anything but a file."""

    def size(self, key: str) -> int | None:
        """Bytes of `key`, or None when it is absent."""

    def names(self, key: str) -> list[str]:
        """Sorted names directly under `key` whose writing was completed; empty when there is no such place."""

    def claimed(self, key: str) -> list[str]:
        """Like `names`, with names whose writing was begun and never completed."""

    def touch(self, key: str) -> bool:
        """Make `key` young again, so that no collector takes it; False when it is absent."""

    def now(self) -> float:
        """The time by the clock that `modified` uses."""

    def modified(self, key: str) -> float | None:
        """When `key` was written or touched last, or None when it is absent."""

    def remove(self, key: str, untouched_since: float) -> bool:
        """Remove `key` unless it was touched later than `untouched_since`; whether it is gone."""

    def sweep(self, untouched_since: float) -> int:
        """Clear away what writers and collectors that died left behind; how many things."""
