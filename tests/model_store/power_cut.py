"""A recorder of what is done to a disk, and what a power cut may leave of it.

What was not fsynced may be lost in any combination: each entry of a directory by itself, and the data of a file
whole or in part. File systems keep more than that; a store that survives this survives them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from model_store.disk import Disk

Tree = dict[str, bytes]


@dataclass(frozen=True)
class Step:
    """One operation; `promise` is no operation but what the caller was told when it returned."""

    kind: str
    path: str = ""
    target: str = ""
    data: bytes = b""


class RecordingDisk(Disk):
    """Does and logs every operation below `root`."""

    def __init__(self, root: Path, log: list[Step]) -> None:
        self.root, self.log = root, log

    def make_directory(self, path: Path) -> bool:
        made = super().make_directory(path)
        if made:
            self.log.append(Step("mkdir", self._name(path)))
        return made

    def write(self, path: Path, content: Iterable[bytes]) -> None:
        whole = b"".join(content)
        super().write(path, [whole])
        self.log.append(Step("write", self._name(path), data=whole))

    def sync(self, path: Path) -> None:
        super().sync(path)
        self.log.append(Step("sync", self._name(path)))

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self.log.append(Step("sync_directory", self._name(path)))

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self.log.append(Step("link", self._name(source), self._name(target)))

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.log.append(Step("rename", self._name(source), self._name(target)))

    def remove(self, path: Path) -> None:
        existed = path.exists()
        super().remove(path)
        if existed:
            self.log.append(Step("remove", self._name(path)))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


class RecordingDiskWithoutLinks(RecordingDisk):
    """The same where the file system has no links."""

    def link(self, source: Path, target: Path) -> None:
        raise PermissionError(1, "no links here")


@dataclass
class Inode:
    """A file, or a directory when `data` is None."""

    data: bytes | None
    synced: bool = False


@dataclass
class Directory:
    """Entries that are on the disk, and changes to them that are only in memory."""

    durable: dict[str, Inode | None] = field(default_factory=dict)
    pending: list[tuple[str, Inode | None]] = field(default_factory=list)

    def now(self, name: str) -> Inode:
        found = {**self.durable, **dict(self.pending)}[name]
        assert found is not None
        return found


class Machine:
    """A disk and its cache; the inode of a directory is its path."""

    def __init__(self) -> None:
        self.directories: dict[str, Directory] = {".": Directory()}
        self.promises: list[str] = []

    def apply(self, step: Step) -> None:
        match step.kind:
            case "mkdir":
                self.directories[step.path] = Directory()
                self._change(step.path, Inode(None))
            case "write":
                self._change(step.path, Inode(step.data))
            case "sync":
                self._at(step.path).synced = True
            case "sync_directory":
                directory = self.directories[step.path]
                directory.durable.update(directory.pending)
                directory.pending.clear()
            case "link":
                self._change(step.target, self._at(step.path))
            case "rename":
                self._change(step.target, self._at(step.path))
                self._change(step.path, None)
            case "remove":
                self._change(step.path, None)
            case "promise":
                self.promises.append(step.path)

    def cuts(self, generator: random.Random, draws: int) -> Iterator[Tree]:
        """What may be left: nothing that was not synced, each change alone, all but each, all, and random choices."""
        matter = [path for path in self.directories if path.split("/")[0] != "tmp"]
        changes = [(path, i) for path in matter for i in range(len(self.directories[path].pending))]
        yield self._tree(set(), 0.0)
        for change in changes:
            yield self._tree({change}, 1.0)
            yield self._tree(set(changes) - {change}, 1.0)
        for kept in (0.0, 0.5, 1.0):
            yield self._tree(set(changes), kept)
        for _ in range(draws if len(changes) > 1 else 0):
            chosen = {change for change in changes if generator.random() < 0.5}
            yield self._tree(chosen, generator.choice((0.0, 0.5, 1.0)))

    def _tree(self, kept: set[tuple[str, int]], data: float, path: str = ".") -> Tree:
        directory = self.directories[path]
        entries = dict(directory.durable)
        entries.update(change for i, change in enumerate(directory.pending) if (path, i) in kept)
        tree: Tree = {}
        for name, inode in entries.items():
            inside = name if path == "." else f"{path}/{name}"
            if inode is None:
                continue
            if inode.data is None:
                tree.update(self._tree(kept, data, inside))
            else:
                tree[inside] = inode.data if inode.synced else inode.data[: int(data * len(inode.data))]
        return tree

    def _change(self, path: str, inode: Inode | None) -> None:
        self.directories[_parent(path)].pending.append((PurePosixPath(path).name, inode))

    def _at(self, path: str) -> Inode:
        return self.directories[_parent(path)].now(PurePosixPath(path).name)


def states(
    log: list[Step], draws: int, without: frozenset[int] = frozenset()
) -> Iterator[tuple[Tree, tuple[str, ...]]]:
    """Every different tree that a power cut may leave after any prefix of `log`, with what was promised by then.

    Steps in `without` are forgotten: a mutation.
    """
    machine, generator = Machine(), random.Random(0)
    seen: set[tuple[frozenset[tuple[str, bytes]], int]] = set()
    for i, step in enumerate(log):
        if i not in without:
            machine.apply(step)
        for tree in machine.cuts(generator, draws):
            visible = {path: data for path, data in tree.items() if not path.startswith("tmp/")}
            key = (frozenset(visible.items()), len(machine.promises))
            if key not in seen:
                seen.add(key)
                yield visible, tuple(machine.promises)


def _parent(path: str) -> str:
    return PurePosixPath(path).parent.as_posix()
