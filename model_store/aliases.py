"""Aliases: each move is a new generation, created only if absent, so a move is a compare-and-swap."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from model_store.backend import Backend
from model_store.errors import AliasConflict, BadAlias, BlobChanged, NothingToRollBack, UnknownVersion
from model_store.events import Events
from model_store.layout import aliases_key, generation_key, numbers, read_record, timestamp
from model_store.manifest import Digest
from model_store.names import check_alias, is_alias
from model_store.signature import Frozen

_ATTEMPTS = 1000


class AliasRecord(Frozen):
    """One move of an alias. `restores` names the generation that a rollback went back to."""

    version: Annotated[int, Field(ge=1)]
    digest: Digest
    time: str = Field(default_factory=timestamp)
    restores: Annotated[int, Field(ge=1)] | None = None


class AliasRemoval(Frozen):
    """The move of an alias to nowhere."""

    removed: Literal[True] = True
    time: str = Field(default_factory=timestamp)


Move = AliasRecord | AliasRemoval
_MOVE: TypeAdapter[Move] = TypeAdapter(Move)


class Aliases:
    """The aliases of all models of a store.

    An alias points where its latest move to a version that is not deleted points, so none ever dangles; nowhere if it
    was removed after that.
    """

    def __init__(self, backend: Backend, events: Events) -> None:
        self._backend = backend
        self._events = events

    def names(self, name: str) -> list[str]:
        """Aliases that were ever set."""
        found = self._backend.names(aliases_key(name))
        return [alias for alias in found if is_alias(alias) and self.generation(name, alias)]

    def generation(self, name: str, alias: str) -> int:
        """The highest generation, 0 before the first."""
        return max(self._generations(name, alias), default=0)

    def history(self, name: str, alias: str) -> dict[int, Move]:
        """Every generation, oldest first."""
        return {generation: self._read(name, alias, generation) for generation in self._generations(name, alias)}

    def current(self, name: str, alias: str) -> AliasRecord | None:
        """The record that says where an alias points, or None."""
        buried = self._events.tombstones(name)
        for generation in reversed(self._generations(name, alias)):
            record = self._read(name, alias, generation)
            if isinstance(record, AliasRemoval):
                return None
            if record.version not in buried:
                return record
        return None

    def all_current(self, name: str) -> dict[str, AliasRecord]:
        """`current` of every alias that points anywhere."""
        current = {alias: self.current(name, alias) for alias in self.names(name)}
        return {alias: record for alias, record in current.items() if record is not None}

    def move(self, name: str, alias: str, version: int, digest: str, expected_generation: int | None = None) -> int:
        """Point an alias to a version; the new generation.

        With `expected_generation` a compare-and-swap that raises AliasConflict when somebody else was first.
        """
        record = AliasRecord(version=version, digest=digest)
        return self._swap(name, alias, lambda last: self._write(name, alias, record, last), expected_generation)

    def remove(self, name: str, alias: str, expected_generation: int | None = None) -> int:
        """Point an alias nowhere; the new generation. A later move, or a rollback, brings it back.

        With `expected_generation` a compare-and-swap that raises AliasConflict when somebody else was first. Raises
        UnknownVersion where it points nowhere already.
        """

        def removed(last: int) -> int:
            if self.current(name, alias) is None:
                raise UnknownVersion(f"model {name!r} has no alias {alias!r}: it has {sorted(self.all_current(name))}")
            return self._write(name, alias, AliasRemoval(), last)

        return self._swap(name, alias, removed, expected_generation)

    def promote(self, name: str, alias: str, version: int, digest: str) -> None:
        """Move an alias up to a version, never down from a higher one that was published meanwhile."""

        def promoted(last: int) -> int:
            current = self.current(name, alias)
            if current is not None and current.version > version:
                return last
            return self._write(name, alias, AliasRecord(version=version, digest=digest), last)

        self._swap(name, alias, promoted)

    def rollback(self, name: str, alias: str) -> int:
        """Point an alias back to where it was before its last move that was not undone yet; the version.

        A removal is such a move; to where it was removed from, and never to nowhere.
        """
        generation, current = self.generation(name, alias), self.current(name, alias)
        buried = self._events.tombstones(name)
        for earlier, record in reversed(self._standing_moves(name, alias)):
            if isinstance(record, AliasRemoval) or record.version in buried:
                continue
            if current is None or record.version != current.version:
                back = AliasRecord(version=record.version, digest=record.digest, restores=earlier)
                self._write(name, alias, back, generation)
                return record.version
        raise NothingToRollBack(f"alias {name}@{alias}: it has no earlier version that still exists")

    def _standing_moves(self, name: str, alias: str) -> list[tuple[int, Move]]:
        """The moves that no rollback has undone, latest last."""
        moves: list[tuple[int, Move]] = []
        for generation, record in self.history(name, alias).items():
            if isinstance(record, AliasRemoval) or record.restores is None:
                moves.append((generation, record))
            else:
                moves = [move for move in moves if move[0] <= record.restores]
        return moves

    def _swap(self, name: str, alias: str, attempt: Callable[[int], int], expected: int | None = None) -> int:
        """`attempt` on the last generation, and again when somebody else was first; only once if it is `expected`."""
        if expected is not None:
            return attempt(expected)
        for _ in range(_ATTEMPTS):
            with suppress(AliasConflict):
                return attempt(self.generation(name, alias))
        raise AliasConflict(f"alias {name}@{alias}: somebody else keeps moving it")

    def _write(self, name: str, alias: str, record: Move, expected_generation: int) -> int:
        current = self.generation(name, alias)
        generation = expected_generation + 1
        content = json.dumps(record.model_dump(mode="json", exclude_none=True), sort_keys=True).encode()
        key = generation_key(name, alias, generation)
        if current != expected_generation or not self._backend.create(key, [content]):
            found = max(current, self.generation(name, alias))
            raise AliasConflict(f"alias {name}@{alias}: expected generation {expected_generation}, found {found}")
        return generation

    def _generations(self, name: str, alias: str) -> list[int]:
        return numbers(self._backend.names(f"{aliases_key(name)}/{check_alias(alias)}"))

    def _read(self, name: str, alias: str, generation: int) -> Move:
        key = generation_key(name, alias, generation)
        try:
            return _MOVE.validate_python(json.loads(read_record(self._backend, key)))
        except (ValidationError, ValueError, RecursionError, BlobChanged):
            expected = "{version, digest, time} or {removed, time}"
            raise BadAlias(f"{key}: expected {expected}, it is truncated or malformed") from None
