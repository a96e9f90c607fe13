"""The append-only records of a model: tombstones and verifications."""

from __future__ import annotations

import json
import re
import secrets
from typing import Literal

from model_store.backend import Backend
from model_store.layout import events_key, timestamp
from model_store.signature import Frozen

_TOMBSTONE = re.compile(r"tombstone-([1-9][0-9]{0,8})\.json")


class Tombstone(Frozen):
    """A version was deleted. That the record exists is what counts; its content is for people."""

    event: Literal["tombstone"] = "tombstone"
    version: int
    digest: str | None
    forced: bool
    time: str


class Verification(Frozen):
    """All blobs of a version were hashed again; no findings means that all was well."""

    event: Literal["verification"] = "verification"
    version: int
    digest: str | None
    findings: tuple[str, ...]
    time: str


class Events:
    """The events of all models of a store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def tombstones(self, name: str) -> set[int]:
        """Numbers of the deleted versions."""
        matches = map(_TOMBSTONE.fullmatch, self._backend.names(events_key(name)))
        return {int(match[1]) for match in matches if match}

    def is_deleted(self, name: str, version: int) -> bool:
        """Whether a version carries a tombstone."""
        return bool(self._backend.size(self.tombstone_key(name, version)))

    def bury(self, name: str, version: int, digest: str | None, forced: bool) -> None:
        """Write the tombstone of a version, once."""
        record = Tombstone(version=version, digest=digest, forced=forced, time=timestamp())
        self._backend.create(self.tombstone_key(name, version), [_content(record)])

    def record_verification(self, name: str, version: int, digest: str | None, findings: tuple[str, ...]) -> None:
        """Append what a verification found."""
        time = timestamp()
        record = Verification(version=version, digest=digest, findings=findings, time=time)
        stem = f"verification-{version}-{time.replace(':', '')}-{secrets.token_hex(4)}"
        self._backend.create(f"{events_key(name)}/{stem}.json", [_content(record)])

    @staticmethod
    def tombstone_key(name: str, version: int) -> str:
        """Where the tombstone of a version lies."""
        return f"{events_key(name)}/tombstone-{version}.json"


def _content(record: Frozen) -> bytes:
    return json.dumps(record.model_dump(mode="json"), sort_keys=True, indent=1).encode()
