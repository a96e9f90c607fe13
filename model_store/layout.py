"""Where things lie in a store, and how its small records are read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from model_store.backend import Backend
from model_store.errors import BlobChanged
from model_store.names import version_number

MAX_RECORD = 64 * 1024
MAX_MANIFEST = 32 * 1024 * 1024
BLOBS = "blobs/sha256"
MODELS = "models"


def blob_key(digest: str) -> str:
    """Where the bytes of `digest` lie.

    >>> blob_key("ab12")
    'blobs/sha256/ab/ab12'
    """
    return f"{BLOBS}/{digest[:2]}/{digest}"


def versions_key(name: str) -> str:
    """Where the manifests of a model lie."""
    return f"{MODELS}/{name}/versions"


def manifest_key(name: str, version: int) -> str:
    """Where one manifest lies."""
    return f"{versions_key(name)}/{version}.json"


def aliases_key(name: str) -> str:
    """Where the aliases of a model lie."""
    return f"{MODELS}/{name}/aliases"


def generation_key(name: str, alias: str, generation: int) -> str:
    """Where one generation of an alias lies."""
    return f"{aliases_key(name)}/{alias}/{generation}.json"


def events_key(name: str) -> str:
    """Where the append-only records of a model lie."""
    return f"{MODELS}/{name}/events"


def numbers(names: Iterable[str]) -> list[int]:
    """The numbers of `<n>.json` names, ascending; other names are not ours.

    >>> numbers(["10.json", "2.json", "02.json", "x.json", "3"])
    [2, 10]
    """
    found = (version_number(name.removesuffix(".json")) for name in names if name.endswith(".json"))
    return sorted(number for number in found if number is not None)


def read_record(backend: Backend, key: str, limit: int = MAX_RECORD) -> bytes:
    """The bytes of a small file. Raises FileNotFoundError, and BlobChanged beyond `limit` bytes."""
    content = bytearray()
    for chunk in backend.chunks(key):
        content += chunk
        if len(content) > limit:
            raise BlobChanged(f"{key}: expected at most {limit} bytes")
    return bytes(content)


def timestamp() -> str:
    """UTC, ISO 8601, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
