"""The few operations on a disk that the local backend is made of, each one step that a crash can follow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path


class Disk:
    """Real system calls. Tests put a recorder or a killer in its place."""

    def make_directory(self, path: Path) -> bool:
        """mkdir(2); whether it was new."""
        try:
            path.mkdir()
        except FileExistsError:
            return False
        return True

    def write(self, path: Path, content: Iterable[bytes]) -> None:
        """Write a new file, which must not exist (O_EXCL)."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            for chunk in content:
                file.write(chunk)

    def sync(self, path: Path) -> None:
        """fsync(2) of a file's data."""
        self._fsync(path, os.O_RDONLY)

    def sync_directory(self, path: Path) -> None:
        """fsync(2) of a directory: its entries survive a power cut."""
        self._fsync(path, os.O_RDONLY | os.O_DIRECTORY)

    def link(self, source: Path, target: Path) -> None:
        """link(2): raises FileExistsError rather than replace anything."""
        os.link(source, target, follow_symlinks=False)

    def rename(self, source: Path, target: Path) -> None:
        """rename(2): replaces the target."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """unlink(2); nothing to do when it is gone already."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()

    def touch(self, path: Path) -> None:
        """Set the modification time to now, of the thing itself and never of a link's target."""
        os.utime(path, follow_symlinks=False)

    @staticmethod
    def _fsync(path: Path, flags: int) -> None:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
