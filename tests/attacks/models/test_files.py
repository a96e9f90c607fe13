"""Files and manifests that are not what they say: refused at load, each with its own error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inference import errors, load, load_version
from model_store.errors import BadManifest, BlobChanged, BlobMissing, StoreError, UnknownSchemaVersion
from model_store.manifest import Draft, ValidationScores
from model_store.store import Store
from tests.attacks.models.hostile import GOOD, MADE, refused
from tests.inference import handmade
from tests.inference.graphs import manifest


def test_the_good_version_loads() -> None:
    load_version(manifest(MADE.signature, GOOD), GOOD).close()


class TestFiles:
    @pytest.mark.parametrize("path", sorted(GOOD))
    def test_changed_byte(self, path: str) -> None:
        content = bytearray(GOOD[path])
        content[len(content) // 2] ^= 1
        with pytest.raises(errors.ChangedFile, match=path):
            load_version(manifest(MADE.signature, GOOD), {**GOOD, path: bytes(content)})

    @pytest.mark.parametrize("path", sorted(GOOD))
    def test_cut_or_extended(self, path: str) -> None:
        for content in (GOOD[path][:-1], GOOD[path] + b"\0", b""):
            with pytest.raises(errors.ChangedFile, match="bytes, the manifest says"):
                load_version(manifest(MADE.signature, GOOD), {**GOOD, path: content})

    @pytest.mark.parametrize("path", sorted(GOOD))
    def test_missing(self, path: str) -> None:
        files = {name: content for name, content in GOOD.items() if name != path}
        refused(errors.MissingFile, files, "does not list it")
        with pytest.raises(errors.MissingFile, match="not to be had"):
            load_version(manifest(MADE.signature, GOOD), files)


class TestManifests:
    def test_class_prior(self) -> None:
        for prior in ((0.5, 0.5), (0.5, 0.5, 0.5), (1.5, -0.5, 0.0), (float("nan"), 0.5, 0.5)):
            refused(errors.InconsistentManifest, GOOD, "class_prior", class_prior=prior)

    def test_class_prior_without_classes(self) -> None:
        version = handmade.unconditional()
        refused(errors.InconsistentManifest, version.files(), "class_prior", version, class_prior=(1.0,))

    def test_validation_scores(self) -> None:
        for scores in ((2.0, 1.0), (1.0, float("nan"))):
            stored = ValidationScores(conditional=scores)
            refused(errors.InconsistentManifest, GOOD, "sorted", validation_scores=stored)

    def test_unknown_schema_version(self, tmp_path: Path) -> None:
        store, path = _published(tmp_path)
        _rewrite(path, lambda content: content.update(schema_version=2))
        with pytest.raises(UnknownSchemaVersion):
            load(store, "handmade", 1)

    def test_unknown_field(self, tmp_path: Path) -> None:
        store, path = _published(tmp_path)
        _rewrite(path, lambda content: content.update(hook="import os"))
        with pytest.raises(BadManifest, match="hook"):
            load(store, "handmade", 1)

    def test_path_outside(self, tmp_path: Path) -> None:
        store, path = _published(tmp_path)
        _rewrite(path, lambda content: content["files"][0].update(path="../../etc/passwd"))
        with pytest.raises(BadManifest):
            load(store, "handmade", 1)

    def test_changed_and_missing_blobs(self, tmp_path: Path) -> None:
        store, _ = _published(tmp_path)
        blob = max((p for p in (tmp_path / "store/blobs").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        content = blob.read_bytes()
        blob.chmod(0o644)
        blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(BlobChanged):
            load(store, "handmade", 1)
        blob.unlink()
        with pytest.raises(BlobMissing):
            load(store, "handmade", 1)
        blob.symlink_to("/etc/passwd")
        with pytest.raises(StoreError):
            load(store, "handmade", 1)


def _published(folder: Path) -> tuple[Store, Path]:
    store = Store.open(folder / "store")
    fields = MADE.manifest().model_dump(include=set(Draft.model_fields))
    store.publish(Draft.model_validate(fields), GOOD, alias=None)
    return store, folder / "store/models/handmade/versions/1.json"


def _rewrite(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.chmod(0o644)
    path.write_bytes(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
