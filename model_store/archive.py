"""One version as one file: `<name>-<version>.condflow`, an uncompressed zip with its manifest first.

The members are `manifest.json` and `files/<path>` in the order of the manifest, all dated 1980, so that the same
version always gives the same bytes. Weights hardly compress, and what is not compressed cannot be a bomb.
"""

from __future__ import annotations

import os
import secrets
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from model_store.blobs import Source
from model_store.errors import ArchiveTooLarge, BadArchive, BadArchiveMember, Deleted, VersionTaken
from model_store.layout import MAX_MANIFEST
from model_store.manifest import Draft, FileEntry, Manifest
from model_store.names import check_name

if TYPE_CHECKING:
    from model_store.store import Store

SUFFIX = ".condflow"
MAX_CONTENT = 1024**3
MAX_MEMBERS = 1000
MAX_ARCHIVE = MAX_CONTENT + MAX_MANIFEST + MAX_MEMBERS * 1024
_MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_END = struct.Struct("<4s4H2LH")


def export(store: Store, manifest: Manifest, path: Path) -> Path:
    """Write a version to `path`, whole or not at all."""
    target = path / f"{manifest.name}-{manifest.version}{SUFFIX}" if path.is_dir() else path
    size, count = sum(entry.size for entry in manifest.files), len(manifest.files)
    if size > MAX_CONTENT or count >= MAX_MEMBERS:
        held = f"an archive holds {MAX_CONTENT} bytes in {MAX_MEMBERS - 1} files"
        raise ArchiveTooLarge(f"{manifest.name} version {manifest.version}: {size} bytes in {count} files; {held}")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=False) as bundle:
                _add(bundle, _MANIFEST, iter([manifest.canonical()]))
                for entry in manifest.files:
                    _add(bundle, f"files/{entry.path}", store.blobs.chunks(entry))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def take_in(store: Store, path: Path, as_name: str | None) -> Manifest:
    """Publish the version in an archive; see Store.import_archive."""
    if not path.is_file():
        found = "this is no regular file" if path.exists() else "there is no such file"
        raise BadArchive(f"{path}: expected an archive, {found}")
    with path.open("rb") as file:
        _check_size(file.fileno(), path)
        try:
            with zipfile.ZipFile(file) as bundle:
                return _publish(store, bundle, path, as_name)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error, ValueError) as error:
            raise BadArchive(f"{path.name}: expected a condflow archive ({error})") from None


def _publish(store: Store, bundle: zipfile.ZipFile, path: Path, as_name: str | None) -> Manifest:
    members = _members(bundle, path)
    with bundle.open(members[_MANIFEST]) as file:
        manifest = Manifest.parse(file.read(MAX_MANIFEST + 1), f"{path.name}/{_MANIFEST}")
    _check_members(manifest, members, path)
    sources = {entry: Source(_reader(bundle, members[f"files/{entry.path}"])) for entry in manifest.files}
    for entry, source in sources.items():
        _drain(source.checked(entry))
    if as_name is not None:
        return _republish(store, manifest, sources, check_name(as_name))
    if not _already_there(store, manifest):
        for entry, source in sources.items():
            store.blobs.put(entry, source)
        if not store.commit(manifest, sources):
            _already_there(store, manifest)
    for entry, source in sources.items():
        store.blobs.restore(entry, source)
    store.crown(manifest)
    return manifest


def _already_there(store: Store, manifest: Manifest) -> bool:
    name, version = manifest.name, manifest.version
    hint = "import it under another name (--as NAME)"
    if version in store.deleted(name):
        raise Deleted(f"{name} version {version}: deleted here; {hint}")
    if version not in store.versions(name):
        return False
    found = store.manifest(name, version).digest
    if found != manifest.digest:
        raise VersionTaken(f"{name} version {version}: taken by {found[:12]}, not {manifest.digest[:12]}; {hint}")
    return True


def _republish(store: Store, manifest: Manifest, sources: dict[FileEntry, Source], name: str) -> Manifest:
    parents = (*manifest.lineage.parents, manifest.digest)
    lineage = manifest.lineage.model_copy(update={"parents": parents})
    fields = {field: getattr(manifest, field) for field in Draft.model_fields}
    return store.publish_sources(Draft(**{**fields, "name": name, "lineage": lineage}), sources)


def _check_size(descriptor: int, path: Path) -> None:
    """Look at the file and at the record at its end before zipfile reads the directory that it announces."""
    found = os.fstat(descriptor)
    if found.st_size > MAX_ARCHIVE:
        raise ArchiveTooLarge(f"{path.name}: {found.st_size} bytes, at most {MAX_ARCHIVE}")
    end = os.pread(descriptor, _END.size, max(found.st_size - _END.size, 0))
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06"):
        raise BadArchive(f"{path.name}: expected a condflow archive, it is truncated or something else")
    count = _END.unpack(end)[4]
    if count > MAX_MEMBERS:
        raise ArchiveTooLarge(f"{path.name}: {count} members, at most {MAX_MEMBERS}")


def _members(bundle: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Every member by name, once none is a link, compressed, encrypted, named twice or larger than the file."""
    members: dict[str, zipfile.ZipInfo] = {}
    size, claimed = path.stat().st_size, 0
    infos = bundle.infolist()
    if len(infos) > MAX_MEMBERS:
        raise ArchiveTooLarge(f"{path.name}: {len(infos)} members, at most {MAX_MEMBERS}")
    for info in infos:
        where = f"{path.name}: member {info.orig_filename!r}"
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or info.is_dir():
            raise BadArchiveMember(f"{where}: expected a regular file, found a link, a folder or a device")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise BadArchiveMember(f"{where}: expected an uncompressed member")
        if info.flag_bits & 0x1:
            raise BadArchiveMember(f"{where}: expected an unencrypted member")
        if info.filename != info.orig_filename or info.filename in members:
            raise BadArchiveMember(f"{where}: expected each name once and spelled plainly")
        if not 0 <= info.header_offset < size:
            raise BadArchiveMember(f"{where}: lies outside of the file")
        claimed += info.file_size
        if claimed > size:
            raise ArchiveTooLarge(f"{where}: up to here {claimed} bytes are claimed in a file of {size}")
        members[info.filename] = info
    if _MANIFEST not in members:
        raise BadArchiveMember(f"{path.name}: expected a member {_MANIFEST}")
    if members[_MANIFEST].file_size > MAX_MANIFEST:
        raise ArchiveTooLarge(f"{path.name}: its manifest has more than {MAX_MANIFEST} bytes")
    return members


def _check_members(manifest: Manifest, members: dict[str, zipfile.ZipInfo], path: Path) -> None:
    expected = {f"files/{entry.path}": entry.size for entry in manifest.files}
    found = {name: info.file_size for name, info in members.items() if name != _MANIFEST}
    for name in sorted(expected.keys() ^ found.keys()):
        problem = "named in the manifest and missing" if name in expected else "not named in the manifest"
        raise BadArchiveMember(f"{path.name}: member {name!r} is {problem}")
    for name, size in expected.items():
        if found[name] != size:
            raise BadArchiveMember(f"{path.name}: member {name!r} has {found[name]} bytes, the manifest says {size}")


def _reader(bundle: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        with bundle.open(info) as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    return chunks


def _drain(chunks: Iterator[bytes]) -> None:
    for _ in chunks:
        pass


def _add(bundle: zipfile.ZipFile, name: str, chunks: Iterator[bytes]) -> None:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    with bundle.open(info, "w") as member:
        for chunk in chunks:
            member.write(chunk)
