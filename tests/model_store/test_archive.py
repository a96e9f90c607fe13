from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from model_store import Store, errors
from tests.model_store.drafts import FILES, assert_verifies, contents, draft

MORE = {**FILES, "pictures/grid.png": b"\x89PNG" * 100, "empty": b"", "copy.md": FILES["card.md"]}


@pytest.fixture
def store(memory_path: Path) -> Store:
    return Store.open(memory_path / "from")


@pytest.fixture
def other(memory_path: Path) -> Store:
    return Store.open(memory_path / "to")


def test_a_round_trip_is_byte_identical(store: Store, other: Store, tmp_path: Path) -> None:
    manifest = store.publish(draft(metrics={"nll": 1.25}), MORE)
    path = store.export_archive(manifest, tmp_path)
    assert path.name == "mix-1.condflow"
    (found,) = other.import_archive(path)
    assert found == manifest == other.resolve("mix", "champion")
    assert {name: other.read(found, name) for name in MORE} == MORE
    again = other.export_archive(found, tmp_path / "again.condflow")
    assert again.read_bytes() == path.read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["again.condflow", "mix-1.condflow"]
    assert_verifies(other)


def test_any_zip_tool_reads_an_archive(store: Store, tmp_path: Path) -> None:
    path = store.export_archive(store.publish(draft(), MORE), tmp_path)
    with zipfile.ZipFile(path) as bundle:
        assert bundle.testzip() is None
        assert bundle.namelist() == ["manifest.json", *(f"files/{name}" for name in sorted(MORE))]
        assert {info.date_time for info in bundle.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert bundle.read("files/card.md") == FILES["card.md"]


def test_importing_again_changes_nothing_that_can_be_seen(
    store: Store, other: Store, tmp_path: Path, memory_path: Path
) -> None:
    path = store.export_archive(store.publish(draft(), FILES), tmp_path)
    other.import_archive(path)
    before = contents(memory_path / "to")
    other.import_archive(path)
    assert contents(memory_path / "to") == before


def test_importing_again_mends_a_missing_blob(store: Store, other: Store, tmp_path: Path, memory_path: Path) -> None:
    path = store.export_archive(store.publish(draft(), FILES), tmp_path)
    other.import_archive(path)
    for blob in (memory_path / "to" / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    other.import_archive(path)
    assert_verifies(other)


def test_a_number_keeps_its_place_and_the_champion_stays(store: Store, other: Store, tmp_path: Path) -> None:
    for content in (b"1", b"2", b"3"):
        store.publish(draft(), {"card.md": content})
    third = store.export_archive(store.resolve("mix", 3), tmp_path)
    first = store.export_archive(store.resolve("mix", 1), tmp_path)
    other.import_archive(third)
    other.import_archive(first)
    assert other.versions("mix") == [1, 3]
    assert other.aliases("mix") == {"champion": 3}


def test_a_taken_or_deleted_number_is_refused_and_another_name_helps(
    store: Store, other: Store, tmp_path: Path
) -> None:
    manifest = store.publish(draft(), FILES)
    path = store.export_archive(manifest, tmp_path)
    other.publish(draft(), {"card.md": b"something else"})
    with pytest.raises(errors.VersionTaken, match="--as NAME"):
        other.import_archive(path)
    (renamed,) = other.import_archive(path, as_name="renamed")
    assert (renamed.name, renamed.version, renamed.lineage.parents) == ("renamed", 1, (manifest.digest,))
    assert other.resolve("renamed") == renamed
    other.publish(draft(), FILES)
    other.delete("mix", 1)
    with pytest.raises(errors.Deleted, match="--as NAME"):
        other.import_archive(path)
    with pytest.raises(errors.BadName):
        other.import_archive(path, as_name="../x")


def test_a_directory_gives_all_its_archives(store: Store, other: Store, tmp_path: Path) -> None:
    for name in ("b", "a"):
        store.export_archive(store.publish(draft(name), FILES), tmp_path)
    (tmp_path / "README.md").write_text("not an archive")
    assert [manifest.name for manifest in other.import_archive(tmp_path)] == ["a", "b"]
    assert other.models() == ["a", "b"]


def test_a_damaged_version_is_not_exported(store: Store, tmp_path: Path, memory_path: Path) -> None:
    manifest = store.publish(draft(), FILES)
    for blob in (memory_path / "from" / "blobs").rglob("*"):
        if blob.is_file():
            blob.write_bytes(b"?" * blob.stat().st_size)
    with pytest.raises(errors.BlobChanged):
        store.export_archive(manifest, tmp_path)
    assert list(tmp_path.iterdir()) == []
