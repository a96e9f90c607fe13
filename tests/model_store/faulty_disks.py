"""Disks that die, that have no links, and that let somebody else in between two steps."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from model_store.disk import Disk


class SteppedDisk(Disk):
    """Calls `step` before every operation and in the middle of every write. `links` false: none are to be had."""

    def __init__(self, links: bool = True) -> None:
        self.links = links
        self.steps = 0

    def step(self) -> None:
        self.steps += 1

    def make_directory(self, path: Path) -> bool:
        self.step()
        return super().make_directory(path)

    def write(self, path: Path, content: Iterable[bytes]) -> None:
        self.step()
        super().write(path, self._interrupted(content))

    def sync(self, path: Path) -> None:
        self.step()
        super().sync(path)

    def sync_directory(self, path: Path) -> None:
        self.step()
        super().sync_directory(path)

    def link(self, source: Path, target: Path) -> None:
        self.step()
        if not self.links:
            raise PermissionError(errno.EPERM, "no links here")
        super().link(source, target)

    def rename(self, source: Path, target: Path) -> None:
        self.step()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self.step()
        super().remove(path)

    def touch(self, path: Path) -> None:
        self.step()
        super().touch(path)

    def _interrupted(self, content: Iterable[bytes]) -> Iterable[bytes]:
        for chunk in content:
            yield chunk[: len(chunk) // 2]
            self.step()
            yield chunk[len(chunk) // 2 :]


class KillingDisk(SteppedDisk):
    """kill -9 at the n-th step."""

    def __init__(self, n: int, links: bool = True) -> None:
        super().__init__(links)
        self.n = n

    def step(self) -> None:
        super().step()
        if self.steps == self.n:
            os.kill(os.getpid(), signal.SIGKILL)


class InterruptedDisk(SteppedDisk):
    """Runs `then` once, at the n-th step."""

    def __init__(self, n: int, then: Callable[[], object], links: bool = True) -> None:
        super().__init__(links)
        self.n, self.then, self.interrupted = n, then, False

    def step(self) -> None:
        super().step()
        if self.steps == self.n:
            self.interrupted = True
            self.then()
