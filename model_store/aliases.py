"""Aliases: each move is a new generation, created only if absent, so a move is a compare-and-swap."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field, ValidationError

from model_store.backend import Backend
from model_store.errors import AliasConflict, BadAlias, BlobChanged
from model_store.layout import aliases_key, generation_key, numbers, read_record, timestamp
from model_store.manifest import Digest
from model_store.names import check_alias
from model_store.signature import Frozen


class AliasRecord(Frozen):
    """One move of an alias. `restores` names the generation that a rollback went back to."""

    version: Annotated[int, Field(ge=1)]
    digest: Digest
    time: str
    restores: Annotated[int, Field(ge=1)] | None = None


class Aliases:
    """The aliases of all models of a store, as they were written; which versions live is the store's to know."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def names(self, name: str) -> list[str]:
        """Aliases that were ever set."""
        return [alias for alias in self._backend.names(aliases_key(name)) if self.generation(name, alias)]

    def generation(self, name: str, alias: str) -> int:
        """The highest generation, 0 before the first."""
        return max(self._generations(name, alias), default=0)

    def history(self, name: str, alias: str) -> dict[int, AliasRecord]:
        """Every generation, oldest first."""
        return {generation: self._read(name, alias, generation) for generation in self._generations(name, alias)}

    def stack(self, name: str, alias: str) -> list[tuple[int, AliasRecord]]:
        """The moves that rollbacks have not undone, latest last: what the next rollback goes back through."""
        stack: list[tuple[int, AliasRecord]] = []
        for generation, record in self.history(name, alias).items():
            if record.restores is None:
                stack.append((generation, record))
            else:
                stack = [move for move in stack if move[0] <= record.restores]
        return stack

    def move(
        self, name: str, alias: str, version: int, digest: str, expected_generation: int, restores: int | None = None
    ) -> int:
        """Write generation `expected_generation + 1`; raises AliasConflict when it is there already."""
        check_alias(alias)
        current = self.generation(name, alias)
        generation = expected_generation + 1
        record = AliasRecord(version=version, digest=digest, time=timestamp(), restores=restores)
        content = json.dumps(record.model_dump(mode="json", exclude_none=True), sort_keys=True).encode()
        key = generation_key(name, alias, generation)
        if current != expected_generation or not self._backend.create(key, [content]):
            found = max(current, self.generation(name, alias))
            raise AliasConflict(
                f"alias {name}@{alias}: expected generation {expected_generation}, somebody else wrote {found}"
            )
        return generation

    def _generations(self, name: str, alias: str) -> list[int]:
        return numbers(self._backend.names(f"{aliases_key(name)}/{alias}"))

    def _read(self, name: str, alias: str, generation: int) -> AliasRecord:
        key = generation_key(name, alias, generation)
        try:
            return AliasRecord.model_validate(json.loads(read_record(self._backend, key)))
        except (ValidationError, ValueError, RecursionError, BlobChanged):
            raise BadAlias(f"{key}: expected {{version, digest, time}}, it is truncated or malformed") from None
