"""Collection: remove the blobs that no living version names, and what dead writers left behind."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from model_store.errors import StoreError
from model_store.layout import BLOBS, blob_key
from model_store.store import Store

DAY = 24 * 3600.0
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Collected:
    """What a collection did: blobs removed and their bytes, blobs too young to judge, leftovers cleared."""

    removed: int
    removed_bytes: int
    young: int
    leftovers: int


def collect(store: Store, grace: float = DAY) -> Collected:
    """Remove blobs that no living version names and that nobody touched for `grace` seconds.

    `grace` must be longer than the longest publication, which writes or touches its blobs before any manifest
    names them. A deleted version counts as living until its tombstone is that old too, so that who resolved it
    just before can still read it. Raises BadManifest and its kin, removing nothing, when a living version
    cannot be read: nobody knows which blobs it needs.
    """
    if grace < 0:
        raise ValueError(f"grace: expected at least 0 seconds, got {grace}")
    backend = store.backend
    horizon = backend.now() - grace
    leftovers = backend.sweep(horizon)
    candidates = [
        digest
        for prefix in backend.names(BLOBS)
        for digest in backend.claimed(f"{BLOBS}/{prefix}")
        if _DIGEST.fullmatch(digest) and digest.startswith(prefix)
    ]
    needed = _needed(store, horizon)
    removed = removed_bytes = young = 0
    for digest in candidates:
        if digest in needed:
            continue
        size = backend.size(blob_key(digest)) or 0
        if backend.remove(blob_key(digest), horizon):
            removed, removed_bytes = removed + 1, removed_bytes + size
        else:
            young += 1
    return Collected(removed, removed_bytes, young, leftovers)


def _needed(store: Store, horizon: float) -> set[str]:
    needed: set[str] = set()
    for name in store.all_models():
        for version in store.versions(name):
            needed.update(entry.digest for entry in store.manifest(name, version).files)
        for version in store.deleted_since(name, horizon):
            with contextlib.suppress(StoreError):
                needed.update(entry.digest for entry in store.manifest(name, version).files)
    return needed
