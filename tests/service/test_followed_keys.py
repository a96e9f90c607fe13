"""The keys file is followed while the service runs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from service.followed_keys import LOOK_EVERY_S, FollowedKeys
from service.keys import Key, KeyLineError, new_key
from service.settings import Settings
from tests.service.harness import running, until


class File:
    """A keys file, what reads it, and a clock that only the test moves."""

    def __init__(self, path: Path, *keys: Key, **settings: str) -> None:
        self.path = path
        self.now = 0.0
        self.changes: list[bool] = []
        self.write(*keys)
        self.keys = FollowedKeys(Settings(keys_file=path, **settings), self.changes.append, lambda: self.now)  # type: ignore[arg-type]

    def write(self, *keys: Key) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text("".join(f"{key.line}\n" for key in keys))
        fresh.replace(self.path)

    @property
    def names(self) -> set[str]:
        """Names of the keys in force."""
        return {key.name for key in self.keys.ring.keys}

    def later(self) -> set[str]:
        """The same after the next look."""
        self.now += LOOK_EVERY_S
        return self.names


ALICE, BOB = (new_key(name, frozenset(["infer"]))[1] for name in ("alice", "bob"))


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "keys.txt", ALICE)


def test_changes_take_effect_at_the_next_look(file: File) -> None:
    assert file.later() == {"alice"}
    file.write(ALICE, BOB)
    file.now += 0.99 * LOOK_EVERY_S
    assert file.names == {"alice"}
    file.now += 0.01 * LOOK_EVERY_S
    assert file.names == {"alice", "bob"}
    file.write(BOB)
    assert file.later() == {"bob"}
    assert file.changes == [True, True]


def test_it_is_read_only_when_it_changes(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> str:
        raise AssertionError("the file was read")

    monkeypatch.setattr(Path, "read_text", read)
    assert [file.later() for _ in range(5)] == [{"alice"}] * 5


@pytest.mark.parametrize(
    "content", [b"", b"# nobody\n", b"alice:0:infer\n", b"\xff\xfe", f"{BOB.line}\n{BOB.line}\n".encode(), None]
)
def test_a_broken_file_leaves_the_keys_in_force(
    file: File, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "condflow.service")
    if content is None:
        file.path.unlink()
    else:
        file.path.write_bytes(content)
    assert [file.later(), file.later()] == [{"alice"}] * 2
    assert file.changes == [False]
    assert len(caplog.records) == 1
    file.write(BOB)
    assert file.later() == {"bob"}
    assert file.changes == [False, True]


def test_a_key_in_the_wrong_place_is_not_logged(file: File, caplog: pytest.LogCaptureFixture) -> None:
    text, _ = new_key("carol", frozenset(["infer"]))
    file.path.write_text(text)
    assert file.later() == {"alice"}
    assert caplog.records
    assert text not in caplog.text


def test_same_time_and_size_but_another_file(file: File) -> None:
    before = file.path.stat()
    other = file.path.with_suffix(".other")
    other.write_text(f"{new_key('carol', frozenset(['infer']))[1].line}\n")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file.path)
    assert (file.path.stat().st_mtime_ns, file.path.stat().st_size) == (before.st_mtime_ns, before.st_size)
    assert file.later() == {"carol"}


def test_keys_of_the_settings_stay_beside_those_of_the_file(tmp_path: Path) -> None:
    file = File(tmp_path / "keys.txt", ALICE, keys=BOB.line)
    assert file.names == {"alice", "bob"}
    file.path.write_text("# nobody\n")
    assert file.later() == {"bob"}


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, ALICE.line.encode())
    os.close(write)
    now = [0.0]
    keys = FollowedKeys(Settings(keys_file=Path(f"/dev/fd/{read}")), lambda _: None, lambda: now[0])
    os.close(read)
    now[0] = 2 * LOOK_EVERY_S
    assert [key.name for key in keys.ring.keys] == ["alice"]


def test_a_file_without_keys_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(KeyLineError, match="holds no key"):
        File(tmp_path / "keys.txt")


def test_over_http(store_path: Path, tmp_path: Path) -> None:
    """Somebody is let in, made an administrator and shut out, without a restart."""
    path = tmp_path / "keys.txt"
    path.write_text(ALICE.line)
    text, carol = new_key("carol", frozenset(["infer"]))
    root, admin = new_key("root", frozenset(["admin"]))
    with running(store_path, keys_file=path) as service:

        def status(key: str, method: str = "GET", route: str = "/models") -> int:
            return service.client.request(method, route, headers={"Authorization": f"Bearer {key}"}).status_code

        def changes(outcome: str) -> float:
            return service.metrics()[("condflow_key_changes_total", (("outcome", outcome),))]

        assert status(text) == 401
        path.write_text(f"{ALICE.line}\n{carol.line}\n")
        until(lambda: status(text) == 200, "the new key")
        assert status(text, "POST", "/admin/reload") == 403
        path.write_text(f"{admin.line}\n")
        until(lambda: status(text) == 401, "the end of the key")
        assert status(root, "POST", "/admin/reload") == 200
        broken = changes("error")
        path.write_text("nonsense\n")
        until(lambda: status(root, "POST", "/admin/reload") == 200 and changes("error") > broken, "the broken file")
        assert status(root, "POST", "/admin/reload") == 200
        assert status("nobody") == 401
        assert changes("ok") >= 2
