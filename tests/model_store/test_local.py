"""The local backend by itself, with links and where none are to be had."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from model_store import Store, errors
from model_store.local import LocalBackend
from tests.model_store.drafts import FILES, assert_verifies, contents, draft
from tests.model_store.faulty_disks import SteppedDisk


@pytest.fixture(params=[True, False], ids=["links", "no links"])
def backend(request: pytest.FixtureRequest, memory_path: Path) -> LocalBackend:
    return LocalBackend(memory_path / "store", SteppedDisk(request.param))


@pytest.fixture
def linkless(memory_path: Path) -> LocalBackend:
    return LocalBackend(memory_path / "store", SteppedDisk(links=False))


def test_create_writes_once(backend: LocalBackend) -> None:
    assert backend.create("a/b/c", [b"one", b" and ", b"two"])
    assert not backend.create("a/b/c", [b"three"])
    assert b"".join(backend.chunks("a/b/c")) == b"one and two"
    assert backend.size("a/b/c") == 11
    assert backend.names("a/b") == ["c"]
    assert backend.names("tmp") == backend.names("nowhere") == []
    assert backend.size("nowhere/else") is None
    with pytest.raises(FileNotFoundError):
        b"".join(backend.chunks("a/x"))


def test_replace_touch_and_remove(backend: LocalBackend) -> None:
    backend.replace("a/b", [b"one"])
    backend.replace("a/b", [b"two"])
    assert b"".join(backend.chunks("a/b")) == b"two"
    os.utime(backend.root / "a/b", (5, 5))
    assert backend.modified("a/b") == 5
    assert backend.touch("a/b")
    assert not backend.touch("a/c")
    assert not backend.remove("a/b", untouched_since=5)
    assert backend.remove("a/b", untouched_since=backend.now())
    assert backend.remove("a/b", untouched_since=5)
    assert backend.modified("a/b") is None


def test_content_that_fails_leaves_nothing(backend: LocalBackend) -> None:
    def failing() -> object:
        yield b"half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        backend.create("a/b", failing())  # type: ignore[arg-type]
    assert contents(backend.root) == {}


def test_a_claim_of_the_dead_is_taken_over(linkless: LocalBackend) -> None:
    (linkless.root / "a").mkdir(parents=True)
    (linkless.root / "a/b").touch()
    assert linkless.names("a") == []
    assert linkless.claimed("a") == ["b"]
    assert linkless.create("a/b", [b"content"])
    assert linkless.names("a") == ["b"]
    assert b"".join(linkless.chunks("a/b")) == b"content"


def test_a_claim_of_the_living_is_respected(linkless: LocalBackend) -> None:
    (linkless.root / "a").mkdir(parents=True)
    with (linkless.root / "a/b").open("wb") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        assert not linkless.create("a/b", [b"content"])
    assert linkless.create("a/b", [b"content"])


def test_a_store_without_links_steps_over_claims(linkless: LocalBackend) -> None:
    store = Store(linkless)
    store.publish(draft(), FILES)
    (linkless.root / "models/mix/versions/2.json").touch()
    (linkless.root / "models/mix/aliases/champion/2.json").touch()
    assert store.versions("mix") == [1]
    assert store.generation("mix", "champion") == 1
    with pytest.raises(errors.BadManifest):
        store.resolve("mix", 2)
    assert store.publish(draft(), FILES).version == 3
    assert store.aliases("mix") == {"champion": 3}
    assert_verifies(store)


def test_another_error_than_missing_links_is_not_swallowed(memory_path: Path) -> None:
    class FullDisk(SteppedDisk):
        def link(self, source: Path, target: Path) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        LocalBackend(memory_path, FullDisk()).create("a", [b"x"])
    assert contents(memory_path) == {}
