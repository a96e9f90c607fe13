from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store import Store, errors
from model_store.blobs import Source
from model_store.layout import blob_key
from tests.model_store.drafts import FILES, assert_verifies, contents, draft
from tests.model_store.patience import PATIENT


@pytest.fixture
def store(memory_path: Path) -> Store:
    return Store.open(memory_path / "store")


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.open(tmp_path_factory.mktemp("two"))
    store.publish(draft(), FILES)
    store.publish(draft(), FILES)
    return store


def test_reading_an_absent_store_writes_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "none")
    assert store.models() == []
    assert store.versions("mix") == []
    assert store.aliases("mix") == {}
    assert store.change_token() == ()
    with pytest.raises(errors.UnknownModel, match="'mix'"):
        store.resolve("mix")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.BadStore, match="expected a directory"):
        Store.open(tmp_path / "file")


def test_publish_and_read_from_memory_and_from_files(store: Store, tmp_path: Path) -> None:
    big = os.urandom(3 * 2**20 + 5)
    (tmp_path / "big").write_bytes(big)
    manifest = store.publish(draft(), {**FILES, "pictures/big.png": tmp_path / "big", "empty": b""})
    assert manifest == store.resolve("mix") == store.resolve("mix", manifest.digest)
    assert store.read(manifest, "pictures/big.png") == big
    assert store.read(manifest, "empty") == b""
    assert store.read(manifest, "card.md") == FILES["card.md"]
    with pytest.raises(errors.UnknownFile, match=r"nothing.*card\.md"):
        store.read(manifest, "nothing")


def test_the_same_bytes_are_stored_once(store: Store, memory_path: Path) -> None:
    store.publish(draft(), {"a": b"same", "b": b"same"})
    store.publish(draft("other"), {"c": b"same"})
    assert sum(path.startswith("blobs/") for path in contents(memory_path / "store")) == 1


def test_numbers_count_up_and_are_never_used_again(store: Store) -> None:
    assert [store.publish(draft(), FILES).version for _ in range(3)] == [1, 2, 3]
    store.delete("mix", 3, force=True)
    assert store.publish(draft(), FILES).version == 4
    assert store.versions("mix") == [1, 2, 4]
    assert store.deleted("mix") == [3]


def test_resolve_every_kind_of_reference(store: Store) -> None:
    one, two = store.publish(draft(), FILES), store.publish(draft(), {"card.md": b"2"}, alias=None)
    assert store.resolve("mix") == one
    assert store.resolve("mix", 2) == store.resolve("mix", "2") == two
    assert store.resolve("mix", "champion") == one
    assert store.resolve("mix", two.digest) == store.resolve("mix", two.digest[:12]) == two
    for wrong in ("staging", "3", "0" * 12):
        with pytest.raises(errors.UnknownVersion, match="'mix'"):
            store.resolve("mix", wrong)
    with pytest.raises(errors.BadReference, match="expected a number"):
        store.resolve("mix", "0")
    with pytest.raises(errors.BadName):
        store.resolve("../mix")


def test_without_a_champion_the_highest_version_answers(store: Store) -> None:
    for content in (b"1", b"2"):
        store.publish(draft(), {"card.md": content}, alias=None)
    assert store.aliases("mix") == {}
    assert store.resolve("mix").version == 2


@PATIENT
@given(
    st.one_of(
        st.none(), st.integers(-3, 4), st.text(max_size=20), st.text("0123456789abcdef", min_size=11, max_size=64)
    )
)
def test_resolve_answers_or_refuses_by_name(two_versions: Store, reference: int | str | None) -> None:
    with contextlib.suppress(errors.BadReference, errors.UnknownVersion):
        assert two_versions.resolve("mix", reference).version in (1, 2)


def test_publication_refuses_what_json_and_paths_do_not_allow(store: Store) -> None:
    with pytest.raises(errors.BadManifest, match="finite"):
        store.publish(draft(metrics={"nll": float("nan")}), FILES)
    with pytest.raises(errors.BadManifest, match="plain values"):
        store.publish(draft(metrics={"nll": object()}), FILES)
    with pytest.raises(errors.BadName, match="file path"):
        store.publish(draft(), {"../x": b""})
    with pytest.raises(errors.BadName, match="alias '12'"):
        store.publish(draft(), FILES, alias="12")
    assert store.models() == []


def test_a_file_that_changes_while_it_is_published_is_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"before")
    entry = Source.entry("weights", path)
    path.write_bytes(b"after!")
    with pytest.raises(errors.BlobChanged, match="SHA-256"):
        store.publish_sources(draft(), {entry: Source(path)})
    assert store.models() == []
    assert store.backend.names("tmp") == []


def test_publishing_heals_a_damaged_blob(store: Store, memory_path: Path) -> None:
    manifest = store.publish(draft(), FILES)
    (memory_path / "store" / blob_key(manifest.files[0].digest)).write_bytes(b"damaged")
    store.publish(draft(), FILES)
    assert_verifies(store)


def test_aliases_move_by_compare_and_swap(store: Store) -> None:
    for _ in range(2):
        store.publish(draft(), FILES, alias=None)
    assert store.generation("mix", "staging") == 0
    assert store.set_alias("mix", "staging", 1, expected_generation=0) == 1
    with pytest.raises(errors.AliasConflict, match="expected generation 0, found 1"):
        store.set_alias("mix", "staging", 2, expected_generation=0)
    with pytest.raises(errors.AliasConflict, match="expected generation 7, found 1"):
        store.set_alias("mix", "staging", 2, expected_generation=7)
    assert store.set_alias("mix", "staging", 2, expected_generation=1) == 2
    assert store.aliases("mix") == {"staging": 2}
    assert [record.version for record in store.history("mix", "staging").values()] == [1, 2]
    with pytest.raises(errors.UnknownVersion):
        store.set_alias("mix", "staging", 9)
    for wrong in ("7", "abcdefabcdef", "../x", "Staging"):
        with pytest.raises(errors.BadName):
            store.set_alias("mix", wrong, 1)


def test_a_removed_alias_points_nowhere_until_it_moves_or_rolls_back(store: Store) -> None:
    for _ in range(2):
        store.publish(draft(), FILES)
    store.set_alias("mix", "staging", 1)
    with pytest.raises(errors.AliasConflict, match="expected generation 0, found 1"):
        store.remove_alias("mix", "staging", expected_generation=0)
    assert store.aliases("mix") == {"champion": 2, "staging": 1}
    assert store.remove_alias("mix", "staging", expected_generation=1) == 2
    assert store.aliases("mix") == {"champion": 2}
    with pytest.raises(errors.UnknownVersion, match="no alias 'staging': it has \\['champion'\\]"):
        store.resolve("mix", "staging")
    for removed in ("staging", "never"):
        with pytest.raises(errors.UnknownVersion, match="no alias"):
            store.remove_alias("mix", removed)
    assert store.rollback("mix", "staging") == 1
    assert store.resolve("mix", "staging").version == 1
    assert store.remove_alias("mix", "staging") == 4
    assert store.set_alias("mix", "staging", 2) == 5
    assert store.rollback("mix", "staging") == 1
    assert [getattr(record, "version", None) for record in store.history("mix", "staging").values()] == [
        *(1, None, 1, None, 2, 1)
    ]


def test_without_champion_the_highest_version_answers(store: Store) -> None:
    for _ in range(2):
        store.publish(draft(), FILES)
    store.set_alias("mix", "champion", 1)
    store.remove_alias("mix", "champion")
    assert (store.aliases("mix"), store.resolve("mix").version) == ({}, 2)
    assert store.publish(draft(), FILES).version == store.aliases("mix")["champion"] == 3
    store.delete("mix", 3, force=True)
    assert store.aliases("mix") == {"champion": 2}, "what is deleted goes back to nowhere, and champion to the highest"
    with pytest.raises(errors.UnknownModel):
        store.remove_alias("nobody", "champion")


def test_rollback_goes_further_back_each_time(store: Store) -> None:
    for _ in range(4):
        store.publish(draft(), FILES)
    assert [store.rollback("mix") for _ in range(2)] == [3, 2]
    store.set_alias("mix", "champion", 4)
    assert [store.rollback("mix") for _ in range(2)] == [2, 1]
    with pytest.raises(errors.NothingToRollBack, match="mix@champion"):
        store.rollback("mix")
    assert [record.version for record in store.history("mix", "champion").values()] == [1, 2, 3, 4, 3, 2, 4, 2, 1]


def test_rollback_steps_over_what_was_deleted(store: Store) -> None:
    for _ in range(3):
        store.publish(draft(), FILES)
    store.delete("mix", 2)
    assert store.rollback("mix") == 1


def test_a_version_in_use_is_deleted_only_by_force_and_champion_never_dangles(store: Store) -> None:
    for _ in range(3):
        store.publish(draft(), FILES)
    store.set_alias("mix", "staging", 3)
    with pytest.raises(errors.AliasInUse, match="champion, staging"):
        store.delete("mix", 3)
    store.delete("mix", 3, force=True)
    assert store.aliases("mix") == {"champion": 2}
    assert store.resolve("mix").version == 2
    for version in (1, 2):
        store.delete("mix", version, force=True)
    assert store.models() == []
    with pytest.raises(errors.Deleted, match="all its versions"):
        store.resolve("mix")
    assert store.publish(draft(), FILES).version == 4


def test_a_forced_deletion_of_the_only_champion_ever_falls_to_the_highest(store: Store) -> None:
    store.publish(draft(), FILES)
    for _ in range(2):
        store.publish(draft(), FILES, alias=None)
    store.delete("mix", 1, force=True)
    assert store.aliases("mix") == {"champion": 3}


def test_deleted_versions_are_refused_by_every_reference(store: Store) -> None:
    one = store.publish(draft(), FILES)
    store.publish(draft(), FILES)
    store.delete("mix", 1)
    for reference in (1, "1", one.digest, one.digest[:12]):
        with pytest.raises(errors.Deleted, match="mix version 1"):
            store.resolve("mix", reference)
    with pytest.raises(errors.Deleted):
        store.set_alias("mix", "champion", 1)
    with pytest.raises(errors.Deleted):
        store.delete("mix", 1)
    with pytest.raises(errors.UnknownVersion):
        store.delete("mix", 9)
    with pytest.raises(errors.UnknownModel):
        store.delete("nobody", 1)


def test_the_change_token_moves_with_everything_that_can_be_seen(store: Store) -> None:
    tokens = [store.change_token()]
    store.publish(draft(), FILES, alias=None)
    tokens.append(store.change_token())
    store.set_alias("mix", "staging", 1)
    tokens.append(store.change_token())
    store.set_alias("mix", "staging", 1)
    tokens.append(store.change_token())
    store.publish(draft(), FILES, alias=None)
    tokens.append(store.change_token())
    store.delete("mix", 2)
    tokens.append(store.change_token())
    store.remove_alias("mix", "staging")
    tokens.append(store.change_token())
    assert len(set(tokens)) == 7
    assert store.change_token() == tokens[-1]
