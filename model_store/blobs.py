"""Immutable bytes, named by their SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from model_store.backend import Backend
from model_store.errors import BlobChanged, BlobMissing, IrregularFile
from model_store.layout import blob_key
from model_store.manifest import FileEntry

_CHUNK = 1 << 20
Content = bytes | Path | Callable[[], Iterator[bytes]]


class Source:
    """Bytes to publish: in memory, in a file, or from anything that yields them again at each call."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        """The bytes, from the beginning."""
        if isinstance(self._content, Path):
            with self._content.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        elif callable(self._content):
            yield from self._content()
        else:
            yield self._content

    @staticmethod
    def entry(path: str, content: Content) -> FileEntry:
        """What a manifest says about a file with these bytes."""
        digest, size = _digest(Source(content).chunks())
        return FileEntry(path=path, digest=digest, size=size)

    def checked(self, entry: FileEntry) -> Iterator[bytes]:
        """The bytes, with BlobChanged in the place of their end when they are not those of `entry`."""
        return _checked(self.chunks(), entry)


class Blobs:
    """The blobs of a store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def put(self, entry: FileEntry, source: Source) -> None:
        """Make the blob be there, whole, durable and young; a damaged one is replaced by the right bytes."""
        key = blob_key(entry.digest)
        if self._reuse(entry) or self._backend.create(key, source.checked(entry)) or self._reuse(entry):
            return
        self._backend.replace(key, source.checked(entry))

    def restore(self, entry: FileEntry, source: Source) -> None:
        """Put the blob again if a collector took it since; no look at its bytes."""
        key = blob_key(entry.digest)
        if not self._backend.touch(key) or self._backend.size(key) != entry.size:
            self.put(entry, source)

    def read(self, entry: FileEntry) -> bytes:
        """The bytes of `entry`. Raises BlobMissing, BlobChanged, IrregularFile."""
        return b"".join(self.chunks(entry))

    def chunks(self, entry: FileEntry) -> Iterator[bytes]:
        """The bytes in pieces; what is wrong with them is raised at their end at the latest."""
        try:
            yield from _checked(self._backend.chunks(blob_key(entry.digest)), entry)
        except FileNotFoundError:
            raise BlobMissing(f"{entry.path}: blob {entry.digest} is missing") from None

    def check(self, entry: FileEntry) -> None:
        """Hash the blob again. Raises BlobMissing, BlobChanged, IrregularFile."""
        for _ in self.chunks(entry):
            pass

    def _reuse(self, entry: FileEntry) -> bool:
        if not self._backend.touch(blob_key(entry.digest)):
            return False
        try:
            self.check(entry)
        except (BlobChanged, BlobMissing, IrregularFile):
            return False
        return True


def _digest(chunks: Iterator[bytes]) -> tuple[str, int]:
    hasher, size = hashlib.sha256(), 0
    for chunk in chunks:
        hasher.update(chunk)
        size += len(chunk)
    return hasher.hexdigest(), size


def _checked(chunks: Iterator[bytes], entry: FileEntry) -> Iterator[bytes]:
    hasher, size = hashlib.sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        if size > entry.size:
            raise BlobChanged(f"{entry.path}: expected {entry.size} bytes, found more")
        hasher.update(chunk)
        yield chunk
    if size != entry.size:
        raise BlobChanged(f"{entry.path}: expected {entry.size} bytes, found {size}")
    if hasher.hexdigest() != entry.digest:
        raise BlobChanged(f"{entry.path}: expected SHA-256 {entry.digest}, found {hasher.hexdigest()}")
