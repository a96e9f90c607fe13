"""The store on a local disk: temporary file, fsync, link(2), fsync of every directory on the way."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from model_store.disk import Disk
from model_store.errors import BadStore, IrregularFile

_CHUNK = 1 << 20
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES}
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalBackend:
    """Files under `root`; `tmp/` holds unfinished ones, `trash/` what a collector is about to remove.

    Where the file system has no links, an O_EXCL file of no bytes claims the name, a lock on it tells that the
    claimant lives, and a rename fills it: an empty file is a claim and no content, whoever finds it unlocked may
    take it over.
    """

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root
        self._disk = disk or Disk()
        self._durable: set[Path] = set()
        if root.exists() and not root.is_dir():
            raise BadStore(f"{root}: expected a directory that holds a store")

    def create(self, key: str, content: Iterable[bytes]) -> bool:
        """Write `key`, whole or not at all, unless it is there already; whether this call wrote it."""
        target = self._place(key)
        with self._temporary(content) as temporary:
            try:
                self._disk.link(temporary, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return self._claim_and_fill(temporary, target)
            self._disk.sync_directory(target.parent)
            return True

    def replace(self, key: str, content: Iterable[bytes]) -> None:
        """Write `key` over whatever is there."""
        target = self._place(key)
        with self._temporary(content) as temporary:
            self._disk.rename(temporary, target)
            self._disk.sync_directory(target.parent)

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes of `key`, also while a collector holds it in its hands."""
        try:
            descriptor = self._open(key)
        except FileNotFoundError:
            try:
                descriptor = self._open(_trash(key))
            except FileNotFoundError:
                descriptor = self._open(key)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def size(self, key: str) -> int | None:
        """Bytes of `key`, or None when it is absent."""
        found = self._stat(key)
        return None if found is None else found.st_size

    def modified(self, key: str) -> float | None:
        """When `key` was written or touched last, or None when it is absent."""
        found = self._stat(key)
        return None if found is None else found.st_mtime

    def names(self, key: str) -> list[str]:
        """Sorted names under `key`, without claims (files of no bytes)."""
        return sorted(name for name, claim in self._entries(key) if not claim)

    def claimed(self, key: str) -> list[str]:
        """Sorted names under `key`, with claims."""
        return sorted(name for name, _ in self._entries(key))

    def touch(self, key: str) -> bool:
        """Make `key` young and its directory entry durable: another writer may not have come so far yet."""
        target = self.root / key
        try:
            self._disk.touch(target)
        except FileNotFoundError:
            return False
        self._directory(target.parent)
        self._disk.sync_directory(target.parent)
        return True

    def now(self) -> float:
        """The file system's own clock."""
        probe = self._temporary_path()
        self._disk.write(probe, ())
        try:
            return probe.stat().st_mtime
        finally:
            self._disk.remove(probe)

    def remove(self, key: str, untouched_since: float) -> bool:
        """Remove `key` unless it was touched: move it aside, look again, then unlink it or put it back.

        A writer that touches the file before the move is seen, one that comes later finds it missing and writes
        it anew, so no touched file is ever lost.
        """
        target, aside = self.root / key, self.root / _trash(key)
        found = self._stat(key)
        if found is None or found.st_mtime > untouched_since:
            return found is None
        self._directory(aside.parent)
        try:
            self._disk.rename(target, aside)
            touched = aside.lstat().st_mtime > untouched_since
        except FileNotFoundError:
            return self.size(key) is None
        if touched:
            self._put_back(aside, target)
            return False
        self._disk.remove(aside)
        return True

    def sweep(self, untouched_since: float) -> int:
        """Put back what a collector that died held in its hands, and remove old temporary files."""
        swept = 0
        trash = self.root / "trash"
        for aside in sorted(path for path in trash.rglob("*") if not path.is_dir()) if trash.is_dir() else []:
            self._put_back(aside, self._place(aside.relative_to(trash).as_posix()))
            swept += 1
        for name in self.claimed("tmp"):
            temporary = self.root / "tmp" / name
            with contextlib.suppress(FileNotFoundError):
                if temporary.lstat().st_mtime <= untouched_since:
                    self._disk.remove(temporary)
                    swept += 1
        return swept

    def _put_back(self, aside: Path, target: Path) -> None:
        try:
            self._disk.link(aside, target)
        except FileExistsError:
            self._disk.remove(aside)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._disk.rename(aside, target)
        self._disk.sync_directory(target.parent)
        self._disk.remove(aside)

    def _claim_and_fill(self, temporary: Path, target: Path) -> bool:
        flags, ours = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, True
        try:
            claim = os.open(target, flags | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            claim, ours = os.open(target, flags), False
        try:
            if not _lock(claim, or_unsupported=ours):
                return False
            held, current = os.fstat(claim), target.lstat()
            if held.st_ino != current.st_ino or held.st_size > 0:
                return False
            self._disk.rename(temporary, target)
            self._disk.sync_directory(target.parent)
            return True
        finally:
            os.close(claim)

    def _place(self, key: str) -> Path:
        target = self.root / key
        self._directory(target.parent)
        return target

    def _directory(self, path: Path) -> None:
        """Make `path` and every directory above it, up to the root, there and durable."""
        if path == self.root:
            if not path.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._disk.make_directory(path)
                self._disk.sync_directory(path.parent)
            return
        self._directory(path.parent)
        made = self._disk.make_directory(path)
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise IrregularFile(f"{path}: expected a directory of the store, found a link or a file")
        if made or path not in self._durable:
            self._disk.sync_directory(path.parent)
            self._durable.add(path)

    def _temporary_path(self) -> Path:
        return self._place(f"tmp/{os.getpid()}-{secrets.token_hex(8)}")

    @contextlib.contextmanager
    def _temporary(self, content: Iterable[bytes]) -> Iterator[Path]:
        temporary = self._temporary_path()
        try:
            self._disk.write(temporary, content)
            self._disk.sync(temporary)
            yield temporary
        finally:
            self._disk.remove(temporary)

    def _open(self, key: str, flags: int = _READ) -> int:
        """Open without following a link anywhere below the root."""
        *parents, name = key.split("/")
        directory = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for parent in parents:
                above, directory = directory, os.open(parent, _LIST, dir_fd=directory)
                os.close(above)
            descriptor = os.open(name, flags, dir_fd=directory)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise IrregularFile(f"{key}: expected regular files and directories, found a link or device") from None
            raise
        finally:
            os.close(directory)
        if not flags & os.O_DIRECTORY and not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise IrregularFile(f"{key}: expected a regular file, found a directory or a device")
        return descriptor

    def _stat(self, key: str) -> os.stat_result | None:
        try:
            return (self.root / key).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _entries(self, key: str) -> list[tuple[str, bool]]:
        try:
            descriptor = self._open(key, _LIST)
        except FileNotFoundError:
            return []
        try:
            with os.scandir(descriptor) as entries:
                return [(entry.name, _is_claim(entry)) for entry in entries]
        finally:
            os.close(descriptor)


def _trash(key: str) -> str:
    return f"trash/{key}"


def _is_claim(entry: os.DirEntry[str]) -> bool:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == 0


def _lock(descriptor: int, or_unsupported: bool) -> bool:
    """Take the lock that says that a claimant lives; `or_unsupported` is the answer where locks are not to be had."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return or_unsupported
    return True
