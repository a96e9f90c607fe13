"""Archives that somebody tampered with: each is refused by its own error, and the store stays as it was."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store import Store, StoreError, errors
from model_store.archive import MAX_ARCHIVE, MAX_MEMBERS
from tests.model_store.drafts import FILES, contents, draft

Members = list[tuple[zipfile.ZipInfo, bytes]]
Attack = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("good")
    store = Store.open(folder / "store")
    return store.export_archive(store.publish(draft(), FILES), folder).read_bytes()


def unpack(archive: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
        return [(info, bundle.read(info)) for info in bundle.infolist()]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def pack(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for info, data in members:
            fresh = zipfile.ZipInfo(info.filename, info.date_time)
            fresh.external_attr, fresh.create_system = info.external_attr, 3
            bundle.writestr(fresh, data, compress_type=compression)
    return buffer.getvalue()


def added(name: str, data: bytes = b"x", mode: int = stat.S_IFREG | 0o644) -> Attack:
    def attack(archive: bytes) -> bytes:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        return pack([*unpack(archive), (info, data)])

    return attack


def mapped(change: Callable[[str, bytes], tuple[str, bytes] | None]) -> Attack:
    """Every member renamed, changed or left out."""

    def attack(archive: bytes) -> bytes:
        members: Members = []
        for info, data in unpack(archive):
            changed = change(info.filename, data)
            if changed is not None:
                fresh = zipfile.ZipInfo(changed[0])
                fresh.external_attr = info.external_attr
                members.append((fresh, changed[1]))
        return pack(members)

    return attack


def manifested(**changes: object) -> Attack:
    def change(name: str, data: bytes) -> tuple[str, bytes]:
        if name != "manifest.json":
            return name, data
        return name, json.dumps(json.loads(data) | changes, sort_keys=True, separators=(",", ":")).encode()

    return mapped(change)


def moded(mode: int) -> Attack:
    def attack(archive: bytes) -> bytes:
        members = unpack(archive)
        members[-1][0].external_attr = mode << 16
        return pack(members)

    return attack


def patched_directory(offset: int, form: str, value: int) -> Attack:
    """A field of the last central directory record overwritten."""

    def attack(archive: bytes) -> bytes:
        content = bytearray(archive)
        struct.pack_into(form, content, archive.rindex(b"PK\x01\x02") + offset, value)
        return bytes(content)

    return attack


def with_count(archive: bytes) -> bytes:
    content = bytearray(archive)
    struct.pack_into("<HH", content, archive.rindex(b"PK\x05\x06") + 8, MAX_MEMBERS + 1, MAX_MEMBERS + 1)
    return bytes(content)


def overlapping(archive: bytes) -> bytes:
    """The directory's last record points to the data of the one before it."""
    offset = archive.rindex(b"PK\x01\x02")
    before = archive.rindex(b"PK\x01\x02", 0, offset)
    content = bytearray(archive)
    content[offset + 42 : offset + 46] = archive[before + 42 : before + 46]
    return bytes(content)


ATTACKS: dict[str, tuple[Attack, type[StoreError]]] = {
    "empty": (lambda a: b"", errors.BadArchive),
    "not a zip": (lambda a: b"PK\x03\x04" + b"\0" * 1000, errors.BadArchive),
    "truncated": (lambda a: a[: len(a) // 2], errors.BadArchive),
    "without its end": (lambda a: a[:-1], errors.BadArchive),
    "with a comment at its end": (lambda a: a[:-2] + b"\x01\x00x", errors.BadArchive),
    "garbage for a directory": (lambda a: a[:-300] + b"\xff" * 278 + a[-22:], errors.BadArchive),
    "members that overlap": (overlapping, errors.BadArchive),
    "a changed byte of a file": (lambda a: a.replace(b"# card", b"# lard"), errors.BadArchive),
    "too many members claimed": (with_count, errors.ArchiveTooLarge),
    "too many members": (
        lambda a: pack([*unpack(a), *((zipfile.ZipInfo(f"files/{i}"), b"") for i in range(MAX_MEMBERS))]),
        errors.ArchiveTooLarge,
    ),
    "a member of 4 GB claimed": (patched_directory(24, "<L", 2**32 - 2), errors.BadArchiveMember),
    "a member larger than the file": (
        lambda a: patched_directory(20, "<L", 2**31)(patched_directory(24, "<L", 2**31)(a)),
        errors.ArchiveTooLarge,
    ),
    "an inflate bomb": (
        lambda a: pack([*unpack(a), (zipfile.ZipInfo("files/bomb"), b"\0" * 10**7)], zipfile.ZIP_DEFLATED),
        errors.BadArchiveMember,
    ),
    "compressed": (lambda a: pack(unpack(a), zipfile.ZIP_DEFLATED), errors.BadArchiveMember),
    "compressed by a rare method": (lambda a: pack(unpack(a), zipfile.ZIP_LZMA), errors.BadArchiveMember),
    "of an unknown method": (patched_directory(10, "<H", 99), errors.BadArchiveMember),
    "encrypted": (patched_directory(8, "<H", 1), errors.BadArchiveMember),
    "a symbolic link": (moded(stat.S_IFLNK | 0o777), errors.BadArchiveMember),
    "a device": (moded(stat.S_IFCHR | 0o666), errors.BadArchiveMember),
    "a folder": (added("files/folder/", b""), errors.BadArchiveMember),
    "a duplicate": (lambda a: pack([*unpack(a), unpack(a)[-1]]), errors.BadArchiveMember),
    "a second manifest": (lambda a: pack([*unpack(a), unpack(a)[0]]), errors.BadArchiveMember),
    "an unexpected member": (added("files/surprise"), errors.BadArchiveMember),
    "an unexpected member outside": (added("surprise"), errors.BadArchiveMember),
    "an absolute member": (added("/etc/passwd"), errors.BadArchiveMember),
    "a member upwards": (added("files/../../x"), errors.BadArchiveMember),
    "a name with a null": (lambda a: a.replace(b"files/card.md", b"files/card\0md"), errors.BadArchiveMember),
    "no manifest": (mapped(lambda n, d: None if n == "manifest.json" else (n, d)), errors.BadArchiveMember),
    "a missing file": (mapped(lambda n, d: None if n.endswith("card.md") else (n, d)), errors.BadArchiveMember),
    "a shorter file": (mapped(lambda n, d: (n, d[:-1]) if "card" in n else (n, d)), errors.BadArchiveMember),
    "other bytes": (mapped(lambda n, d: (n, d[::-1]) if "card" in n else (n, d)), errors.BlobChanged),
    "a truncated manifest": (mapped(lambda n, d: (n, d[:-1]) if n == "manifest.json" else (n, d)), errors.BadManifest),
    "a manifest of the future": (manifested(schema_version=2), errors.UnknownSchemaVersion),
    "a name with slashes": (manifested(name="../../x"), errors.BadManifest),
    "a version of none": (manifested(version=0), errors.BadManifest),
    "an unknown field": (manifested(surprise=1), errors.BadManifest),
    "a manifest that leads upwards": (
        manifested(files=[{"path": "../../x", "digest": "0" * 64, "size": 1}]),
        errors.BadManifest,
    ),
    "a manifest with a lying digest": (
        manifested(
            files=[
                {"path": "card.md", "digest": "0" * 64, "size": 6},
                {"path": "weights.safetensors", "digest": "0" * 64, "size": 1000},
            ]
        ),
        errors.BlobChanged,
    ),
}


@pytest.mark.parametrize("kind", ATTACKS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_archive_is_refused_and_changes_nothing(memory_path: Path, good: bytes, kind: str) -> None:
    attack, error = ATTACKS[kind]
    path = memory_path / "hostile.condflow"
    path.write_bytes(attack(good))
    assert path.read_bytes() != good
    root = memory_path / "store"
    store = Store.open(root)
    store.publish(draft("other"), FILES)
    before = contents(root)
    for as_name in (None, "renamed"):
        with pytest.raises(error) as refusal:
            store.import_archive(path, as_name)
        assert type(refusal.value) is error
    assert contents(root) == before


def test_an_enormous_archive_is_refused_before_it_is_read(memory_path: Path, good: bytes) -> None:
    path = memory_path / "hostile.condflow"
    path.write_bytes(good)
    os.truncate(path, MAX_ARCHIVE + 1)
    with pytest.raises(errors.ArchiveTooLarge, match="at most"):
        Store.open(memory_path / "store").import_archive(path)


def test_what_is_no_file_is_refused_without_waiting(memory_path: Path) -> None:
    os.mkfifo(memory_path / "fifo.condflow")
    for path, found in (("fifo.condflow", "no regular file"), ("none.condflow", "no such file")):
        with pytest.raises(errors.BadArchive, match=found):
            Store.open(memory_path / "store").import_archive(memory_path / path)


def flip_bytes(folder: Path, good: bytes, step: int, mask: int) -> None:
    """A flip anywhere either leaves the same version or is refused by a named error."""
    path = folder / "hostile.condflow"
    path.write_bytes(good)
    digest = Store.open(folder / "good").import_archive(path)[0].digest
    for place in range(0, len(good), step):
        path.write_bytes(good[:place] + bytes([good[place] ^ mask]) + good[place + 1 :])
        store = Store.open(folder / f"{place}-{mask}")
        try:
            (manifest,) = store.import_archive(path)
        except StoreError:
            assert store.models() == []
        else:
            assert manifest.digest == digest


def test_some_single_changed_bytes_are_refused_or_harmless(memory_path: Path, good: bytes) -> None:
    flip_bytes(memory_path, good, 7, 0x41)


@pytest.mark.full
@pytest.mark.parametrize("mask", [0x01, 0x41, 0x80, 0xFF])
def test_any_single_changed_byte_is_refused_or_harmless(memory_path: Path, good: bytes, mask: int) -> None:
    flip_bytes(memory_path, good, 1, mask)
