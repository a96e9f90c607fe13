"""kill -9 at every step of a publication, an alias move, a deletion and a collection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from model_store import Store
from model_store.gc import collect
from model_store.local import LocalBackend
from tests.model_store.drafts import FILES, assert_sound, contents, draft
from tests.model_store.faulty_disks import SteppedDisk

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("links", ["link", "nolink"])
@pytest.mark.parametrize("action", ["publish", "tidy"])
def test_a_store_survives_a_kill_at_every_step(memory_path: Path, action: str, links: str) -> None:
    command = [sys.executable, "-m", "tests.model_store.killed", str(memory_path), links, action]
    killed = int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert killed > 30
    seen = set()
    for n in range(1, killed + 1):
        root = memory_path / str(n)
        store = Store(LocalBackend(root, SteppedDisk(links == "link")))
        assert_sound(store)
        versions = store.versions("mix")
        assert 1 in versions
        seen.add((tuple(versions), tuple(store.aliases("mix").items())))
        again = store.publish(draft(), {**FILES, "orphan": b"o" * 5000})
        assert store.resolve("mix") == again
        assert again.version not in versions
        assert store.set_alias("mix", "staging", again.version) >= 1
        collect(store, grace=0)
        assert_sound(store)
        left = contents(root)
        assert [path for path in left if path.startswith(("tmp/", "trash/"))] == []
        needed = {entry.digest for version in store.versions("mix") for entry in store.manifest("mix", version).files}
        assert {Path(path).name for path in left if path.startswith("blobs/")} == needed
    assert len(seen) >= 3, "the kills must fall before, between and after what becomes visible"
