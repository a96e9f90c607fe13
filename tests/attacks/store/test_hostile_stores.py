"""Stores that somebody tampered with: each kind of damage is refused with its own error, and nothing hangs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store import Manifest, Store, StoreError, errors
from model_store.layout import MAX_MANIFEST, blob_key, generation_key, manifest_key
from tests.model_store.drafts import FILES, draft

Damage = Callable[[Path], None]
ALIAS = generation_key("mix", "champion", 2)


@pytest.fixture
def root(memory_path: Path) -> Path:
    store = Store.open(memory_path / "store")
    store.publish(draft(), FILES)
    store.publish(draft(), {"card.md": b"# second"})
    store.publish(draft("other"), {"card.md": b"# of the other"})
    return memory_path / "store"


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def replace_by_link(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def replace_folder_by_link(path: Path) -> None:
    elsewhere = path.parent.parent / f"elsewhere-{path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere, target_is_directory=True)


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def canonical(**changes: object) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        return json.dumps(json.loads(content) | changes, sort_keys=True, separators=(",", ":")).encode()

    return change


MANIFEST = manifest_key("mix", 2)
MANIFESTS: dict[str, tuple[Damage, type[StoreError]]] = {
    "truncated": (lambda p: rewrite(p, lambda b: b[: len(b) // 2]), errors.BadManifest),
    "emptied": (lambda p: rewrite(p, lambda b: b""), errors.BadManifest),
    "one byte more": (lambda p: rewrite(p, lambda b: b + b" "), errors.BadManifest),
    "of the future": (lambda p: rewrite(p, canonical(schema_version=2)), errors.UnknownSchemaVersion),
    "with an unknown field": (lambda p: rewrite(p, canonical(surprise=1)), errors.BadManifest),
    "of another number": (lambda p: rewrite(p, canonical(version=1)), errors.BadManifest),
    "of another model": (lambda p: rewrite(p, canonical(name="other")), errors.BadManifest),
    "changed after the alias was set": (lambda p: rewrite(p, canonical(parameters=4)), errors.BadAlias),
    "absolute path": (
        lambda p: rewrite(p, canonical(files=[{"path": "/etc/passwd", "digest": "0" * 64, "size": 1}])),
        errors.BadManifest,
    ),
    "path upwards": (
        lambda p: rewrite(p, canonical(files=[{"path": "../../x", "digest": "0" * 64, "size": 1}])),
        errors.BadManifest,
    ),
    "digest upwards": (
        lambda p: rewrite(p, canonical(files=[{"path": "x", "digest": "../../../../etc/passwd", "size": 1}])),
        errors.BadManifest,
    ),
    "duplicate path": (
        lambda p: rewrite(p, canonical(files=[{"path": "x", "digest": "0" * 64, "size": 1}] * 2)),
        errors.BadManifest,
    ),
    "nested without end": (lambda p: rewrite(p, lambda b: b"[" * 10**6), errors.BadManifest),
    "larger than any": (lambda p: os.truncate(p, MAX_MANIFEST + 1), errors.BadManifest),
    "a link": (replace_by_link, errors.IrregularFile),
    "a link to nowhere": (lambda p: (p.unlink(), p.symlink_to("/nowhere"))[0], errors.IrregularFile),
    "a fifo": (replace_by_fifo, errors.IrregularFile),
    "a folder": (replace_by_folder, errors.IrregularFile),
    "in a linked folder": (lambda p: replace_folder_by_link(p.parent), errors.IrregularFile),
    "in a linked model": (lambda p: replace_folder_by_link(p.parent.parent), errors.IrregularFile),
    "gone": (lambda p: p.unlink(), errors.UnknownVersion),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_hostile_manifest_is_refused_and_its_neighbours_are_served(root: Path, kind: str) -> None:
    damage, error = MANIFESTS[kind]
    damage(root / MANIFEST)
    store = Store.open(root)
    with pytest.raises(error):
        store.resolve("mix", "champion")
    other = store.resolve("other")
    assert store.read(other, "card.md") == b"# of the other"


def test_an_alias_cannot_be_moved_to_a_hostile_manifest(root: Path) -> None:
    rewrite(root / MANIFEST, lambda content: content[:-1])
    with pytest.raises(errors.BadManifest):
        Store.open(root).set_alias("mix", "staging", 2)
    assert Store.open(root).generation("mix", "staging") == 0


BLOBS: dict[str, tuple[Damage, type[StoreError]]] = {
    "one bit": (lambda p: rewrite(p, lambda b: bytes([b[0] ^ 1]) + b[1:]), errors.BlobChanged),
    "truncated": (lambda p: rewrite(p, lambda b: b[:-1]), errors.BlobChanged),
    "emptied": (lambda p: rewrite(p, lambda b: b""), errors.BlobChanged),
    "one byte more": (lambda p: rewrite(p, lambda b: b + b"x"), errors.BlobChanged),
    "of 100 GB": (lambda p: os.truncate(p, 100 * 2**30), errors.BlobChanged),
    "gone": (lambda p: p.unlink(), errors.BlobMissing),
    "a link to the same bytes": (replace_by_link, errors.IrregularFile),
    "a link to a secret": (lambda p: (p.unlink(), p.symlink_to("/etc/passwd"))[0], errors.IrregularFile),
    "an endless device": (lambda p: (p.unlink(), p.symlink_to("/dev/zero"))[0], errors.IrregularFile),
    "a fifo": (replace_by_fifo, errors.IrregularFile),
    "a folder": (replace_by_folder, errors.IrregularFile),
    "in a linked folder": (lambda p: replace_folder_by_link(p.parent), errors.IrregularFile),
}


@pytest.mark.parametrize("kind", BLOBS)
def test_a_hostile_blob_is_refused(root: Path, kind: str) -> None:
    damage, error = BLOBS[kind]
    store = Store.open(root)
    manifest = store.resolve("mix")
    damage(root / blob_key(manifest.files[0].digest))
    with pytest.raises(error):
        store.read(manifest, "card.md")


ALIASES: dict[str, tuple[Damage, type[StoreError]]] = {
    "truncated": (lambda p: rewrite(p, lambda b: b[:-9]), errors.BadAlias),
    "no JSON": (lambda p: rewrite(p, lambda b: b"\xff\xfe"), errors.BadAlias),
    "unknown field": (lambda p: rewrite(p, canonical(surprise=1)), errors.BadAlias),
    "version 0": (lambda p: rewrite(p, canonical(version=0)), errors.BadAlias),
    "another digest": (lambda p: rewrite(p, canonical(digest="0" * 64)), errors.BadAlias),
    "a missing version": (lambda p: rewrite(p, canonical(version=77)), errors.UnknownVersion),
    "larger than any": (lambda p: rewrite(p, lambda b: b + b" " * 2**20), errors.BadAlias),
    "a link": (replace_by_link, errors.IrregularFile),
    "a fifo": (replace_by_fifo, errors.IrregularFile),
    "in a linked folder": (lambda p: replace_folder_by_link(p.parent), errors.IrregularFile),
}


@pytest.mark.parametrize("kind", ALIASES)
def test_a_hostile_alias_is_refused_and_versions_are_served(root: Path, kind: str) -> None:
    damage, error = ALIASES[kind]
    damage(root / ALIAS)
    store = Store.open(root)
    with pytest.raises(error):
        store.resolve("mix")
    assert store.resolve("mix", 2).version == 2
    assert store.resolve("other").version == 1


def test_a_manifest_of_somebody_else_cannot_reach_out_of_the_store(root: Path) -> None:
    """Even one that was never parsed: paths and digests are checked by the types themselves."""
    manifest = Store.open(root).resolve("mix")
    for field, value in (("path", "../../etc/passwd"), ("digest", "../../etc/passwd"), ("digest", "0" * 63)):
        fields = manifest.model_dump()
        fields["files"][0][field] = value
        with pytest.raises(ValueError, match=field):
            Manifest.model_validate(fields)


@pytest.mark.parametrize("name", ["..", "../other", "mix/versions", "/etc", "mix\0", "MIX", ""])
def test_names_with_slashes_and_dots_are_refused_everywhere(root: Path, name: str) -> None:
    store = Store.open(root)
    calls: list[Callable[[], object]] = [
        lambda: store.resolve(name),
        lambda: store.versions(name),
        lambda: store.aliases(name),
        lambda: store.generation(name, "champion"),
        lambda: store.history(name, "champion"),
        lambda: store.manifest(name, 1),
        lambda: store.set_alias(name, "champion", 1),
        lambda: store.rollback(name),
        lambda: store.delete(name, 1),
    ]
    for call in calls:
        with pytest.raises(errors.BadName):
            call()


@pytest.mark.parametrize("alias", ["..", "../../other/aliases/champion", "a/b", "", "A"])
def test_aliases_with_slashes_and_dots_are_refused_everywhere(root: Path, alias: str) -> None:
    store = Store.open(root)
    calls: list[Callable[[], object]] = [
        lambda: store.generation("mix", alias),
        lambda: store.history("mix", alias),
        lambda: store.set_alias("mix", alias, 1),
        lambda: store.rollback("mix", alias),
        lambda: store.publish(draft(), FILES, alias=alias),
    ]
    for call in calls:
        with pytest.raises(errors.BadName):
            call()
    with pytest.raises(errors.BadReference):
        store.resolve("mix", alias)


def test_strange_names_in_a_store_are_passed_over(root: Path) -> None:
    (root / "models" / "Not A Model" / "versions").mkdir(parents=True)
    (root / "models" / "mix" / "versions" / "2.json~").write_bytes(b"x")
    (root / "models" / "mix" / "versions" / "03.json").write_bytes(b"x")
    (root / "models" / "mix" / "aliases" / "NOT AN ALIAS").mkdir()
    (root / "models" / "mix" / "events" / "x").parent.mkdir(exist_ok=True)
    (root / "models" / "mix" / "events" / "tombstone-x.json").write_bytes(b"x")
    store = Store.open(root)
    assert store.models() == ["mix", "other"]
    assert store.versions("mix") == [1, 2]
    assert store.aliases("mix") == {"champion": 2}


def test_writing_through_a_linked_folder_is_refused(root: Path, memory_path: Path) -> None:
    outside = memory_path / "outside"
    outside.mkdir()
    (root / "models" / "linked").symlink_to(outside, target_is_directory=True)
    with pytest.raises(errors.IrregularFile):
        Store.open(root).publish(draft("linked"), FILES)
    assert list(outside.iterdir()) == []
