from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from model_store import Store, errors
from model_store.gc import collect
from model_store.layout import blob_key, manifest_key
from model_store.verify import verify, verify_all
from tests.model_store.drafts import FILES, age, contents, draft

HOUR = 3600.0


@pytest.fixture
def store(memory_path: Path) -> Store:
    return Store.open(memory_path)


def blobs(root: Path) -> set[str]:
    return {Path(path).name for path in contents(root) if path.startswith("blobs/")}


def test_a_collection_takes_what_only_deleted_versions_name(store: Store, memory_path: Path) -> None:
    kept = store.publish(draft(), FILES)
    store.publish(draft(), {**FILES, "extra": b"x" * 10}, alias=None)
    store.delete("mix", 2)
    age(memory_path)
    found = collect(store, HOUR)
    assert (found.removed, found.removed_bytes) == (1, 10)
    assert blobs(memory_path) == {entry.digest for entry in kept.files}
    assert collect(store, HOUR).removed == 0


def test_a_young_tombstone_or_a_young_blob_keeps_the_bytes(store: Store, memory_path: Path) -> None:
    store.publish(draft(), FILES, alias=None)
    age(memory_path)
    store.delete("mix", 1)
    assert collect(store, HOUR).removed == 0
    age(memory_path)
    store.backend.touch(blob_key(store.manifest("mix", 1).files[0].digest))
    found = collect(store, HOUR)
    assert (found.removed, found.young) == (1, 1)
    assert collect(store, 0).removed == 1


def test_temporary_files_go_after_the_grace_period(store: Store, memory_path: Path) -> None:
    store.publish(draft(), FILES)
    (memory_path / "tmp" / "old").write_bytes(b"x")
    os.utime(memory_path / "tmp" / "old", (0, 0))
    (memory_path / "tmp" / "young").write_bytes(b"x")
    assert collect(store, HOUR).leftovers == 1
    assert [path.name for path in (memory_path / "tmp").iterdir()] == ["young"]


def test_what_a_dead_collector_held_is_put_back(store: Store, memory_path: Path) -> None:
    manifest = store.publish(draft(), FILES)
    key = blob_key(manifest.files[0].digest)
    aside = memory_path / "trash" / key
    aside.parent.mkdir(parents=True)
    (memory_path / key).rename(aside)
    assert store.read(manifest, manifest.files[0].path) == FILES[manifest.files[0].path]
    assert collect(store, HOUR).leftovers == 1
    assert (memory_path / key).exists()
    assert not aside.exists()


def test_a_collection_refuses_to_guess_what_an_unreadable_version_needs(store: Store, memory_path: Path) -> None:
    store.publish(draft(), FILES)
    store.publish(draft(), {"other": b"x"})
    (memory_path / manifest_key("mix", 1)).write_bytes(b"{")
    age(memory_path)
    before = blobs(memory_path)
    with pytest.raises(errors.BadManifest):
        collect(store, 0)
    assert blobs(memory_path) == before
    store.delete("mix", 1)
    assert collect(store, 0).removed == 2


def test_a_negative_grace_period_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="grace"):
        collect(store, -1)


def test_verification_names_every_damage_and_keeps_a_record(store: Store, memory_path: Path) -> None:
    manifest = store.publish(draft(), {"a": b"aaa", "b": b"bbb", "c": b"ccc", "d": b"ddd"})
    assert verify(store, "mix", 1).findings == ()
    paths = {entry.path: memory_path / blob_key(entry.digest) for entry in manifest.files}
    paths["a"].unlink()
    paths["b"].write_bytes(b"bbx")
    paths["c"].write_bytes(b"cc")
    paths["d"].unlink()
    paths["d"].symlink_to("/etc/passwd")
    report = verify(store, "mix", 1)
    assert [finding.split(":")[0] for finding in report.findings] == [
        "BlobMissing",
        "BlobChanged",
        "BlobChanged",
        "IrregularFile",
    ]
    records = [json.loads(data) for path, data in contents(memory_path).items() if "/events/" in path]
    assert sorted(len(record["findings"]) for record in records) == [0, 4]
    assert {record["digest"] for record in records} == {manifest.digest}


def test_verification_reports_unreadable_manifests_and_lying_aliases(store: Store, memory_path: Path) -> None:
    store.publish(draft(), FILES, alias=None)
    store.publish(draft(), FILES)
    (memory_path / manifest_key("mix", 1)).write_bytes(b"{")
    alias = memory_path / "models/mix/aliases/champion/1.json"
    alias.write_text(json.dumps(json.loads(alias.read_text()) | {"digest": "0" * 64}))
    one, two = verify_all(store, "mix")
    assert one.findings[0].startswith("BadManifest: ")
    assert one.digest is None
    assert two.findings[0].startswith("BadAlias: alias champion")
