"""What the processes of test_concurrency do, all starting at one barrier."""

from __future__ import annotations

import multiprocessing
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

from model_store import Store
from model_store.errors import AliasConflict
from model_store.gc import collect
from model_store.local import LocalBackend
from tests.model_store.drafts import draft
from tests.model_store.faulty_disks import SteppedDisk

GRACE = 3600.0
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.model_store.contenders"])


def open_store(root: Path, links: bool) -> Store:
    return Store(LocalBackend(root, SteppedDisk(links)))


def orphan(i: int) -> bytes:
    return f"orphan {i} ".encode() * 500


def publish(root: Path, links: bool, who: int, count: int, orphans: int, barrier: Barrier, out: Queue[object]) -> None:
    """Publish `count` versions, each of which reuses old blobs that a collector wants."""
    store = open_store(root, links)
    barrier.wait()
    for i in range(count):
        files = {f"orphan-{(i + k) % orphans}": orphan((i + k) % orphans) for k in range(4)}
        manifest = store.publish(draft(), {**files, "own": f"{who} {i}".encode()})
        out.put((manifest.version, manifest.digest))


def collect_until(root: Path, links: bool, barrier: Barrier, stop: Event, out: Queue[object]) -> None:
    """Collect again and again until `stop`."""
    store = open_store(root, links)
    barrier.wait()
    removed = 0
    while not stop.is_set():
        removed += collect(store, GRACE).removed
    out.put(removed)


def move_alias(root: Path, links: bool, version: int, expected: int, barrier: Barrier, out: Queue[object]) -> None:
    """One compare-and-swap."""
    store = open_store(root, links)
    barrier.wait()
    try:
        out.put((version, store.set_alias("mix", "staging", version, expected)))
    except AliasConflict:
        out.put((version, None))
