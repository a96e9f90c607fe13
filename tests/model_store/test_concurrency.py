"""Publishers, a collector and alias moves in processes of their own, and every interleaving of two of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store import Manifest, Store
from model_store.blobs import Source
from model_store.disk import Disk
from model_store.errors import Deleted
from model_store.gc import collect
from model_store.layout import blob_key
from model_store.local import LocalBackend
from tests.model_store.contenders import CONTEXT, GRACE, collect_until, move_alias, open_store, orphan, publish
from tests.model_store.drafts import FILES, age, assert_sound, assert_verifies, draft
from tests.model_store.faulty_disks import InterruptedDisk, SteppedDisk

PUBLISHERS = 8
ORPHANS = 12


def lay_orphans(store: Store, root: Path) -> None:
    for i in range(ORPHANS):
        store.blobs.put(Source.entry("orphan", orphan(i)), Source(orphan(i)))
    age(root)


def race(root: Path, links: bool, count: int) -> None:
    store = open_store(root, links)
    lay_orphans(store, root)
    barrier, stop, out, removed = CONTEXT.Barrier(PUBLISHERS + 1), CONTEXT.Event(), CONTEXT.Queue(), CONTEXT.Queue()
    publishers = [
        CONTEXT.Process(target=publish, args=(root, links, who, count, ORPHANS, barrier, out))
        for who in range(PUBLISHERS)
    ]
    collector = CONTEXT.Process(target=collect_until, args=(root, links, barrier, stop, removed))
    for process in [*publishers, collector]:
        process.start()
    published = dict(out.get(timeout=240) for _ in range(PUBLISHERS * count))
    for process in publishers:
        process.join()
    stop.set()
    removed.get(timeout=240)
    collector.join()
    assert [process.exitcode for process in [*publishers, collector]] == [0] * (PUBLISHERS + 1)
    assert sorted(published) == store.versions("mix") == list(range(1, PUBLISHERS * count + 1))
    assert {number: store.manifest("mix", number).digest for number in published} == published
    assert store.resolve("mix").version == PUBLISHERS * count
    assert_verifies(store)


@pytest.mark.parametrize("links", [True, False])
def test_eight_publishers_and_a_collector(memory_path: Path, links: bool) -> None:
    race(memory_path, links, count=3)


@pytest.mark.full
@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("attempt", range(5))
def test_eight_publishers_and_a_collector_for_long(tmp_path: Path, links: bool, attempt: int) -> None:
    race(tmp_path, links, count=25)


@pytest.mark.parametrize("links", [True, False])
def test_of_concurrent_compare_and_swaps_one_wins(memory_path: Path, links: bool) -> None:
    store = open_store(memory_path, links)
    for _ in range(6):
        store.publish(draft(), FILES)
    for expected in range(3):
        barrier, out = CONTEXT.Barrier(6), CONTEXT.Queue()
        movers = [
            CONTEXT.Process(target=move_alias, args=(memory_path, links, version, expected, barrier, out))
            for version in range(1, 7)
        ]
        for mover in movers:
            mover.start()
        answers = [out.get(timeout=240) for _ in movers]
        for mover in movers:
            mover.join()
        winners = [version for version, generation in answers if generation == expected + 1]
        assert len(winners) == 1
        assert [generation for _, generation in answers].count(None) == 5
        assert store.aliases("mix")["staging"] == winners[0]
    assert store.generation("mix", "staging") == 3


ORPHAN = Source.entry("orphan", orphan(0))


def every_interleaving(
    folder: Path,
    links: bool,
    prepare: Callable[[Store, Path], object],
    first: Callable[[Store], object],
    then: Callable[[Store], object],
) -> None:
    """`then` as a whole before every step of `first`, each time on a fresh store."""
    prepared = folder / "prepared"
    prepare(open_store(prepared, links), prepared)
    n, interrupted = 0, True
    while interrupted:
        n += 1
        root = folder / str(n)
        shutil.copytree(prepared, root)
        disk = InterruptedDisk(n, lambda root=root: then(open_store(root, links)), links)
        first(Store(LocalBackend(root, disk)))
        interrupted = disk.interrupted
        assert_sound(open_store(root, links))
    assert n > 5


def prepare_orphans(store: Store, root: Path) -> None:
    store.publish(draft(), FILES)
    lay_orphans(store, root)


def publish_orphan(store: Store) -> Manifest:
    return store.publish(draft(), {"orphan": orphan(0)})


@pytest.mark.parametrize("links", [True, False])
def test_a_collection_between_any_two_steps_of_a_publication(memory_path: Path, links: bool) -> None:
    every_interleaving(memory_path, links, prepare_orphans, publish_orphan, lambda store: collect(store, GRACE))


@pytest.mark.parametrize("links", [True, False])
def test_a_publication_between_any_two_steps_of_a_collection(memory_path: Path, links: bool) -> None:
    every_interleaving(memory_path, links, prepare_orphans, lambda store: collect(store, GRACE), publish_orphan)


def test_a_reader_sees_a_blob_that_a_collector_holds_in_its_hands(memory_path: Path) -> None:
    """Published after the collector looked and before it moved the blob aside: put back, and readable meanwhile."""
    prepared = memory_path / "prepared"
    prepare_orphans(Store.open(prepared), prepared)
    held = 0
    for n in range(1, 200):
        root = memory_path / str(n)
        shutil.copytree(prepared, root)
        disk = ObservedDisk(n, root)
        collect(Store(LocalBackend(root, disk)), GRACE)
        if disk.steps < n:
            break
        held += disk.held
    assert held > 0


class ObservedDisk(SteppedDisk):
    """Publishes before the n-th step, and reads what was published before every later one."""

    def __init__(self, n: int, root: Path) -> None:
        super().__init__()
        self.n, self.root, self.held = n, root, 0
        self.manifest: Manifest | None = None

    def step(self) -> None:
        super().step()
        other = Store.open(self.root)
        if self.steps == self.n:
            self.manifest = publish_orphan(other)
        elif self.manifest is not None:
            assert other.read(self.manifest, "orphan") == orphan(0)
            self.held += not (self.root / blob_key(ORPHAN.digest)).exists()


def test_a_deletion_between_any_two_steps_of_an_alias_move_leaves_nothing_dangling(memory_path: Path) -> None:
    def prepare(store: Store, root: Path) -> None:
        store.publish(draft(), FILES)
        store.publish(draft(), FILES, alias=None)

    refused: list[bool] = []

    def move(store: Store) -> None:
        try:
            store.set_alias("mix", "champion", 2)
            refused.append(False)
        except Deleted:
            refused.append(True)
            assert store.aliases("mix") == {"champion": 1}

    def delete(store: Store) -> None:
        if 2 not in store.aliases("mix").values():
            store.delete("mix", 2)

    every_interleaving(memory_path, True, prepare, move, delete)
    assert set(refused) == {True, False}


def test_a_blob_that_went_before_the_manifest_came_is_restored_after_it(memory_path: Path) -> None:
    manifest = publish_orphan(Store(LocalBackend(memory_path, LosingDisk(memory_path / blob_key(ORPHAN.digest)))))
    assert Store.open(memory_path).read(manifest, "orphan") == orphan(0)


class LosingDisk(Disk):
    """Loses a file just before the manifest appears."""

    def __init__(self, lost: Path) -> None:
        self.lost = lost

    def link(self, source: Path, target: Path) -> None:
        if target.parent.name == "versions":
            self.lost.unlink()
        super().link(source, target)
