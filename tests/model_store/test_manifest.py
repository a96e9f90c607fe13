from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from model_store import Manifest
from model_store.errors import BadManifest, UnknownSchemaVersion
from model_store.manifest import FileEntry, Lineage
from tests.model_store.drafts import draft
from tests.model_store.patience import PATIENT

ENTRY = FileEntry(path="card.md", digest="0" * 64, size=1)


def manifest(**changes: Any) -> Manifest:
    fields = dict(draft()) | {"version": 1, "files": (ENTRY,), "created": "2026-01-01T00:00:00Z"}
    return Manifest(**(fields | changes))


def test_canonical_bytes_are_sorted_compact_and_read_back() -> None:
    content = manifest(metrics={"b": 1, "a": "é"}).canonical()
    assert b'"metrics":{"a":"\xc3\xa9","b":1}' in content
    parsed = Manifest.parse(content, "here")
    assert parsed.canonical() == content
    assert parsed.digest == manifest(metrics={"a": "é", "b": 1}).digest


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@PATIENT
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON))
def test_any_metrics_survive_the_round_trip(metrics: dict[str, Any]) -> None:
    original = manifest(metrics=metrics)
    parsed = Manifest.parse(original.canonical(), "here")
    assert parsed == original
    assert parsed.digest == original.digest


def test_the_identity_of_a_stored_version_survives_new_optional_fields() -> None:
    raw = json.loads(manifest().canonical())
    for field in ("calibration", "graph_errors", "precision_errors"):  # as if they had been added to the schema since
        del raw[field]
    stored = json.dumps(raw, sort_keys=True, separators=(",", ":")).encode()
    parsed = Manifest.parse(stored, "here")
    assert parsed.canonical() == stored
    assert parsed.model_copy(update={"version": 2}).digest != parsed.digest


def test_every_field_is_part_of_the_identity() -> None:
    digests = {
        manifest().digest,
        manifest(version=2).digest,
        manifest(name="other").digest,
        manifest(parameters=4).digest,
        manifest(created="later").digest,
        manifest(class_prior=(0.5, 0.5)).digest,
        manifest(lineage=Lineage(recipe="r", seed=1, data_digest="", code_version="")).digest,
    }
    assert len(digests) == 7


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_know_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        manifest(metrics={"nll": value}).canonical()


def test_paths_must_differ_and_nest_nowhere() -> None:
    with pytest.raises(ValidationError, match="named twice"):
        manifest(files=(ENTRY, ENTRY))
    with pytest.raises(ValidationError, match="both a file and a folder"):
        manifest(files=(ENTRY, ENTRY.model_copy(update={"path": "card.md/x"})))
    with pytest.raises(ValidationError, match="plain parts"):
        FileEntry(path="../x", digest="0" * 64, size=0)


def change(**changes: Any) -> bytes:
    return json.dumps(json.loads(manifest().canonical()) | changes, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize("found", [0, 2, "1", None, True, 1.0, [1]])
def test_an_unknown_schema_version_is_refused_by_its_name(found: object) -> None:
    with pytest.raises(UnknownSchemaVersion, match="this code reads 1"):
        Manifest.parse(change(schema_version=found), "here")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        manifest().canonical()[:-1],
        manifest().canonical() + b"\n",
        manifest().canonical().replace(b'"family":', b'"family":"x","family":'),
        json.dumps(json.loads(manifest().canonical())).encode(),
        change(unknown=1),
        change(version=0),
        change(version="1"),
        change(version=10**9),
        change(name="../x"),
        change(metrics={"nll": float("nan")}),
        change(metrics={"nll": "\ud800"}),
        change(parameters=-1),
        b'{"schema_version":1,"version":' + b"9" * 5000 + b"}",
        change(files=[{"path": "/etc/passwd", "digest": "0" * 64, "size": 1}]),
        change(files=[{"path": "a/../../b", "digest": "0" * 64, "size": 1}]),
        change(files=[{"path": "a", "digest": "../../x", "size": 1}]),
        change(files=[{"path": "a", "digest": "0" * 64, "size": -1}]),
        change(files=[{"path": "a", "digest": "0" * 64, "size": 1}] * 2),
    ],
)
def test_anything_but_a_canonical_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(BadManifest, match=r"^here: "):
        Manifest.parse(content, "here")
