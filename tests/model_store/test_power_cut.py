"""A replayed power cut: what was recorded, with everything that was not fsynced lost in every combination."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_store import Store, StoreError
from model_store.gc import collect
from model_store.local import LocalBackend
from tests.model_store.drafts import FILES, age, assert_sound, draft
from tests.model_store.faulty_disks import InterruptedDisk
from tests.model_store.power_cut import RecordingDisk, RecordingDiskWithoutLinks, Step, Tree, states

Disks = type[RecordingDisk]


def record(root: Path, disk: Disks = RecordingDisk) -> list[Step]:
    """Publish, share blobs, move aliases, roll back, delete, collect, publish what was collected."""
    root.mkdir()
    log: list[Step] = []
    store = Store(LocalBackend(root, disk(root, log)))

    def promise(text: str) -> None:
        log.append(Step("promise", text))

    store.publish(draft(), FILES)
    promise("version 1")
    promise("champion 1")
    store.publish(draft(), {**FILES, "card.md": b"# second"})
    promise("version 2")
    promise("champion 2")
    store.set_alias("mix", "staging", 1)
    promise("staging 1")
    store.rollback("mix")
    promise("champion 3")
    store.delete("mix", 2)
    promise("deleted 2")
    age(root)
    assert collect(store, grace=3600).removed == 1
    store.publish(draft(), {"card.md": b"# second"}, alias=None)
    promise("version 3")
    return log


def restore(tree: Tree, scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    for path, data in tree.items():
        target = scratch / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def violation(tree: Tree, promises: tuple[str, ...], scratch: Path) -> str | None:
    """What is wrong with a store that a power cut left, or None."""
    restore(tree, scratch)
    store = Store.open(scratch)
    try:
        assert_sound(store)
        versions, deleted = store.versions("mix"), store.deleted("mix")
    except (StoreError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    for promise in promises:
        word, _, text = promise.partition(" ")
        number = int(text)
        if word == "version":
            kept = number in versions or number in deleted
        elif word == "deleted":
            kept = number in deleted
        else:
            kept = store.generation("mix", word) >= number
        if not kept:
            return f"lost: {promise}"
    return None


def violations(log: list[Step], scratch: Path, draws: int, without: frozenset[int] = frozenset()) -> Iterator[str]:
    for tree, promises in states(log, draws, without):
        found = violation(tree, promises, scratch)
        if found is not None:
            yield found


@pytest.mark.parametrize("disk", [RecordingDisk, RecordingDiskWithoutLinks])
def test_no_power_cut_shows_half_a_version_or_loses_a_promise(memory_path: Path, disk: Disks) -> None:
    log = record(memory_path / "store", disk)
    assert sum(1 for _ in states(log, draws=4)) >= 20
    assert list(violations(log, memory_path / "scratch", draws=4)) == []


@pytest.mark.full
@pytest.mark.parametrize("disk", [RecordingDisk, RecordingDiskWithoutLinks])
def test_no_power_cut_of_many_does(memory_path: Path, disk: Disks) -> None:
    log = record(memory_path / "store", disk)
    assert list(violations(log, memory_path / "scratch", draws=200)) == []


def test_without_any_one_fsync_of_a_file_it_turns_red(memory_path: Path) -> None:
    log = record(memory_path / "store")
    syncs = [i for i, step in enumerate(log) if step.kind == "sync"]
    assert len(syncs) >= 10
    for i in syncs:
        assert any(violations(log, memory_path / "scratch", 2, frozenset({i}))), log[i]


def test_without_the_fsyncs_of_any_one_directory_it_turns_red(memory_path: Path) -> None:
    log = record(memory_path / "store")
    found = {step.path for step in log if step.kind == "sync_directory"}
    directories = {path for path in found if not path.startswith(("tmp", "trash"))}
    assert len(directories) >= 10
    for directory in directories:
        forgotten = frozenset(
            i for i, step in enumerate(log) if (step.kind, step.path) == ("sync_directory", directory)
        )
        assert any(violations(log, memory_path / "scratch", 2, forgotten)), directory


def test_a_publisher_that_reuses_a_blob_makes_its_entry_durable(memory_path: Path) -> None:
    """The other publisher may have linked the blob and not have come to its fsync of the directory."""
    n = 0
    interrupted = True
    while interrupted:
        n += 1
        root = memory_path / str(n)
        root.mkdir()
        log: list[Step] = []
        other = Store(LocalBackend(root, RecordingDisk(root, log)))

        def publish_too(other: Store = other, log: list[Step] = log) -> None:
            other.publish(draft("other"), FILES)
            log.append(Step("promise", "version 1"))

        disk = InterruptedRecorder(root, log, n, publish_too)
        Store(LocalBackend(root, disk)).publish(draft("other"), FILES)
        interrupted = disk.interrupted
        assert_survives(log, memory_path / "scratch")
    assert n > 30


def assert_survives(log: list[Step], scratch: Path) -> None:
    for tree, promises in states(log, draws=0):
        restore(tree, scratch)
        store = Store.open(scratch)
        assert_sound(store)
        assert 1 in store.versions("other") or not promises


class InterruptedRecorder(InterruptedDisk, RecordingDisk):
    """Records, and runs `then` once before the n-th step."""

    def __init__(self, root: Path, log: list[Step], n: int, then: Callable[[], None]) -> None:
        RecordingDisk.__init__(self, root, log)
        self.links, self.steps, self.n, self.then, self.interrupted = True, 0, n, then, False
