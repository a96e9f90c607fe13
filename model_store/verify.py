"""Verification: hash every byte of a version again and write down what was found."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from model_store.errors import StoreError
from model_store.store import Store

_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True)
class Report:
    """What is wrong with a version, one line each, beginning with the name of the error; nothing when it is sound."""

    name: str
    version: int
    digest: str | None
    findings: tuple[str, ...]


def verify(store: Store, name: str, version: int) -> Report:
    """Read the manifest of a version and all its blobs; a verification event keeps the report.

    A store that cannot be written to is verified without an event.
    """
    digest, findings = None, []
    try:
        manifest = store.manifest(name, version)
        digest = manifest.digest
        for entry in manifest.files:
            try:
                store.blobs.check(entry)
            except StoreError as error:
                findings.append(_line(error))
        findings += [
            f"BadAlias: alias {alias} says {record.digest}, the manifest's digest is {digest}"
            for alias, record in store.current_records(name).items()
            if record.version == version and record.digest != digest
        ]
    except StoreError as error:
        findings.append(_line(error))
    try:
        store.events.record_verification(name, version, digest, tuple(findings))
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
    return Report(name, version, digest, tuple(findings))


def verify_all(store: Store, name: str | None = None) -> Iterator[Report]:
    """Verify every version that is not deleted, of one model or of all."""
    for one in store.models() if name is None else [name]:
        for version in store.versions(one):
            yield verify(store, one, version)


def _line(error: StoreError) -> str:
    return f"{type(error).__name__}: {error}"
