"""A small draft to publish, and a look at everything that a store shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from model_store import Draft, Store
from model_store.manifest import Lineage
from model_store.signature import ArraySpec, LabelCondition, Part, Signature
from model_store.verify import verify_all

FILES: dict[str, bytes] = {"weights.safetensors": b"w" * 1000, "card.md": b"# card"}


def draft(name: str = "mix", **changes: Any) -> Draft:
    signature = Signature(
        data=ArraySpec(shape=(2,)),
        condition=LabelCondition(classes=("a", "b")),
        latent=(Part(name="z", shape=(2,)),),
        operations=("decode", "score"),
    )
    lineage = Lineage(recipe="gaussian-mixture", seed=0, data_digest="00", code_version="0.1.0")
    return Draft(
        name=name, **{"signature": signature, "family": "joint", "parameters": 3, "lineage": lineage, **changes}
    )


def assert_sound(store: Store) -> None:
    """Every visible version is whole and every alias points to one."""
    for name in store.models():
        for version in store.versions(name):
            manifest = store.manifest(name, version)
            for entry in manifest.files:
                store.blobs.check(entry)
        for alias, record in store.current_records(name).items():
            assert store.resolve(name, alias).digest == record.digest
        assert store.resolve(name).version in store.versions(name)


def assert_verifies(store: Store) -> None:
    reports = list(verify_all(store))
    assert [report for report in reports if report.findings] == []


def age(root: Path) -> None:
    """Make everything in a store old, as if it had lain there for years."""
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
