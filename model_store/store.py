"""Store: publish, resolve and read immutable versions, move aliases, delete."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from model_store import archive, layout
from model_store.aliases import Aliases, AliasRecord, Move
from model_store.backend import Backend
from model_store.blobs import Blobs, Source
from model_store.errors import (
    AliasInUse,
    AmbiguousDigest,
    BadAlias,
    BadArchive,
    BadManifest,
    BlobChanged,
    Deleted,
    UnknownFile,
    UnknownModel,
    UnknownVersion,
)
from model_store.events import Events
from model_store.local import LocalBackend
from model_store.manifest import Draft, FileEntry, Manifest
from model_store.names import check_alias, check_name, check_path, is_name, parse_reference

CHAMPION = "champion"
_ATTEMPTS = 1000


class Store:
    """A directory (or another backend) of models.

    Reading writes nothing; a store that does not exist yet reads as empty and appears with the first publication.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.blobs = Blobs(backend)
        self.events = Events(backend)
        self._aliases = Aliases(backend, self.events)

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """The store in the directory `path`; raises BadStore when `path` is a file."""
        return cls(LocalBackend(Path(path)))

    # Looking

    def models(self) -> list[str]:
        """Names of the models that have a version which is not deleted, sorted."""
        return [name for name in self.all_models() if self.versions(name)]

    def all_models(self) -> list[str]:
        """Names under which anything was ever begun, sorted."""
        return [name for name in self.backend.names(layout.MODELS) if is_name(name)]

    def versions(self, name: str) -> list[int]:
        """Numbers of the versions that are not deleted, ascending; empty for an unknown model."""
        buried = self.events.tombstones(check_name(name))
        return [number for number in self._published(name) if number not in buried]

    def deleted(self, name: str) -> list[int]:
        """Numbers of the deleted versions, ascending."""
        return sorted(self.events.tombstones(check_name(name)))

    def deleted_since(self, name: str, horizon: float) -> list[int]:
        """Numbers of the versions deleted after `horizon`, by the backend's clock."""
        modified = {n: self.backend.modified(self.events.tombstone_key(name, n)) for n in self.deleted(name)}
        return [number for number, when in modified.items() if when is not None and when > horizon]

    def manifest(self, name: str, version: int) -> Manifest:
        """The manifest of a version, deleted or not.

        Raises UnknownModel, UnknownVersion, BadManifest, UnknownSchemaVersion, IrregularFile.
        """
        key = layout.manifest_key(check_name(name), version)
        try:
            content = layout.read_record(self.backend, key, layout.MAX_MANIFEST)
        except FileNotFoundError:
            self._require_model(name)
            raise UnknownVersion(f"model {name!r} has no version {version}: it has {self.versions(name)}") from None
        except BlobChanged as error:
            raise BadManifest(str(error)) from None
        manifest = Manifest.parse(content, key)
        if (manifest.name, manifest.version) != (name, version):
            raise BadManifest(f"{key}: it is the manifest of {manifest.name!r} version {manifest.version}")
        return manifest

    def resolve(self, name: str, reference: int | str | None = None) -> Manifest:
        """The version that `reference` names: a number, an alias, a digest or 12 and more of its first digits.

        None means the alias `champion`, else the highest version. Raises BadName, BadReference, UnknownModel,
        UnknownVersion, AmbiguousDigest, Deleted, BadAlias, and what `manifest` raises.
        """
        check_name(name)
        wanted = parse_reference(reference)
        if wanted.kind == "number":
            return self._living(self.manifest(name, wanted.number))
        self._require_model(name)
        if wanted.kind == "digest":
            return self._living(self._by_digest(name, wanted.text))
        alias = CHAMPION if wanted.kind == "default" else wanted.text
        current = self._aliases.current(name, alias)
        if current is not None:
            manifest = self.manifest(name, current.version)
            if manifest.digest != current.digest:
                raise BadAlias(f"alias {name}@{alias}: says {current.digest}, version {current.version} differs")
            return manifest
        if wanted.kind == "alias":
            raise UnknownVersion(f"model {name!r} has no alias {alias!r}: it has {sorted(self.aliases(name))}")
        versions = self.versions(name)
        if not versions:
            raise Deleted(f"model {name!r}: all its versions are deleted")
        return self.manifest(name, versions[-1])

    def read(self, manifest: Manifest, path: str) -> bytes:
        """The bytes of one file of a version. Raises UnknownFile, BlobMissing, BlobChanged, IrregularFile."""
        entry = manifest.file(path)
        if entry is None:
            files = [entry.path for entry in manifest.files]
            raise UnknownFile(f"{manifest.name} version {manifest.version} has no file {path!r}: it has {files}")
        return self.blobs.read(entry)

    def change_token(self) -> tuple[tuple[str, int, int, tuple[tuple[str, int], ...]], ...]:
        """A value that differs after every publication, alias move and deletion; it lists names and reads no file."""
        return tuple((name, len(self._published(name)), *self._counts(name)) for name in self.all_models())

    # Publishing

    def publish(self, draft: Draft, files: Mapping[str, bytes | Path], alias: str | None = CHAMPION) -> Manifest:
        """Store `files` and their manifest under the next free number, then move `alias` to it.

        Blobs come first and the manifest last, so a version is whole as soon as it can be seen, whenever this
        process dies. The alias stays where it is when somebody else moved it to a higher version meanwhile.
        Raises BadName for a path, BadManifest for values that JSON does not know, BlobChanged when a file
        changes while it is read.
        """
        if alias is not None:
            check_alias(alias)
        sources = {Source.entry(check_path(path), content): Source(content) for path, content in sorted(files.items())}
        return self.publish_sources(draft, sources, alias)

    def publish_sources(
        self, draft: Draft, sources: Mapping[FileEntry, Source], alias: str | None = CHAMPION
    ) -> Manifest:
        """`publish` with the digests known already."""
        fields = {field: getattr(draft, field) for field in Draft.model_fields}
        made = {"files": tuple(sources), "created": layout.timestamp()}
        self._sealed(Manifest(**fields, **made, version=1))
        for entry, source in sources.items():
            self.blobs.put(entry, source)
        while True:
            number = self._next_number(draft.name)
            manifest = self._sealed(Manifest(**fields, **made, version=number))
            if self.commit(manifest, sources):
                break
        if alias is not None:
            self._aliases.promote(manifest.name, alias, manifest.version, manifest.digest)
        return manifest

    def commit(self, manifest: Manifest, sources: Mapping[FileEntry, Source]) -> bool:
        """Write a manifest whose blobs are there, then look at them again; False when its number is taken."""
        if not self.backend.create(layout.manifest_key(manifest.name, manifest.version), [manifest.canonical()]):
            return False
        for entry, source in sources.items():
            self.blobs.restore(entry, source)
        return True

    def crown(self, manifest: Manifest) -> None:
        """Make a version the champion of a model that has none."""
        if CHAMPION not in self.aliases(manifest.name):
            self._aliases.promote(manifest.name, CHAMPION, manifest.version, manifest.digest)

    # Aliases

    def aliases(self, name: str) -> dict[str, int]:
        """Where each alias points, sorted by alias."""
        return {alias: record.version for alias, record in self.current_records(name).items()}

    def current_records(self, name: str) -> dict[str, AliasRecord]:
        """The record of each alias that says where it points."""
        return self._aliases.all_current(check_name(name))

    def generation(self, name: str, alias: str) -> int:
        """The generation to expect in a compare-and-swap: 0 before the first move."""
        return self._aliases.generation(check_name(name), alias)

    def history(self, name: str, alias: str) -> dict[int, Move]:
        """Every move of an alias, oldest first."""
        return self._aliases.history(check_name(name), alias)

    def set_alias(self, name: str, alias: str, version: int, expected_generation: int | None = None) -> int:
        """Point `alias` to `version`; the new generation.

        With `expected_generation` it is a compare-and-swap that raises AliasConflict when somebody else was
        first. Raises BadName, UnknownVersion, Deleted, and what `manifest` raises.
        """
        check_alias(alias)
        digest = self._living(self.manifest(name, version)).digest
        generation = self._aliases.move(name, alias, version, digest, expected_generation)
        # A deletion that began before the move did not see it. Its tombstone makes the move void.
        self._require_living(name, version)
        return generation

    def remove_alias(self, name: str, alias: str, expected_generation: int | None = None) -> int:
        """Point `alias` nowhere; the new generation. The versions stay, and so does the history.

        With `expected_generation` it is a compare-and-swap that raises AliasConflict when somebody else was first.
        Without `champion` a model answers with its highest version. Raises BadName, UnknownModel, UnknownVersion.
        """
        check_alias(alias)
        self._require_model(check_name(name))
        return self._aliases.remove(name, alias, expected_generation)

    def rollback(self, name: str, alias: str = CHAMPION) -> int:
        """Point `alias` back to where it was before its last move, or removal; the version. Again goes further back.

        Raises NothingToRollBack, and AliasConflict when somebody moves it at the same time.
        """
        return self._aliases.rollback(check_name(name), alias)

    # Deleting

    def delete(self, name: str, version: int, force: bool = False) -> None:
        """Write a tombstone: the version cannot be resolved any more, and a collector may take its blobs.

        Raises AliasInUse when an alias points to it, unless `force`: then each such alias goes back to the
        latest version it pointed to that still exists, and `champion` else to the highest version.
        """
        check_name(name)
        if version not in self._published(name):
            self._require_model(name)
            raise UnknownVersion(f"model {name!r} has no version {version}: it has {self.versions(name)}")
        self._require_living(name, version)
        holders = [alias for alias, held in self.aliases(name).items() if held == version]
        if holders and not force:
            raise AliasInUse(f"{name} version {version}: {', '.join(holders)} points to it; move it, or force")
        try:
            digest = self.manifest(name, version).digest
        except BadManifest:
            digest = None
        self.events.bury(name, version, digest, force)
        for alias in holders:
            self._retreat(name, alias)

    # Archives

    def export_archive(self, manifest: Manifest, path: Path) -> Path:
        """Write a version as one file; into `<name>-<version>.condflow` when `path` is a directory."""
        return archive.export(self, manifest, path)

    def import_archive(self, path: Path, as_name: str | None = None) -> list[Manifest]:
        """Take in an archive, or each `*.condflow` in a directory; `champion` is set where the model has none.

        A version that is there already is left as it is. Raises BadArchive and its kin, VersionTaken, and Deleted;
        `as_name` publishes the content under another name as its next version instead.
        """
        paths = sorted(path.glob(f"*{archive.SUFFIX}")) if path.is_dir() else [path]
        if not paths:
            raise BadArchive(f"{path}: expected an archive, or a folder with some; it holds no *{archive.SUFFIX}")
        return [archive.take_in(self, one, as_name) for one in paths]

    # Inside

    def _published(self, name: str) -> list[int]:
        return layout.numbers(self.backend.names(layout.versions_key(name)))

    def _next_number(self, name: str) -> int:
        taken = layout.numbers(self.backend.claimed(layout.versions_key(name)))
        return max([*taken, *self.events.tombstones(name)], default=0) + 1

    def _counts(self, name: str) -> tuple[int, tuple[tuple[str, int], ...]]:
        aliases = tuple((alias, self._aliases.generation(name, alias)) for alias in self._aliases.names(name))
        return len(self.events.tombstones(name)), aliases

    def _by_digest(self, name: str, prefix: str) -> Manifest:
        manifests = [self.manifest(name, number) for number in self._published(name)]
        found = [manifest for manifest in manifests if manifest.digest.startswith(prefix)]
        if not found:
            raise UnknownVersion(f"model {name!r} has no version with digest {prefix}")
        if len(found) > 1:
            raise AmbiguousDigest(f"digest {prefix}: versions {[one.version for one in found]} of {name!r} begin so")
        return found[0]

    def _retreat(self, name: str, alias: str) -> None:
        """After a forced deletion: write down where the alias points now."""
        current = self._aliases.current(name, alias)
        if current is not None:
            self.set_alias(name, alias, current.version)
        elif alias == CHAMPION and (versions := self.versions(name)):
            self.set_alias(name, alias, versions[-1])

    def _require_model(self, name: str) -> None:
        if not self._published(name):
            raise UnknownModel(f"no model {name!r} in the store: it has {self.models()}")

    def _require_living(self, name: str, version: int) -> None:
        if self.events.is_deleted(name, version):
            raise Deleted(f"{name} version {version}: deleted")

    def _living(self, manifest: Manifest) -> Manifest:
        self._require_living(manifest.name, manifest.version)
        return manifest

    @staticmethod
    def _sealed(manifest: Manifest) -> Manifest:
        """`manifest` as a reader will see it."""
        try:
            content = manifest.canonical()
        except (ValueError, TypeError) as error:
            raise BadManifest(f"{manifest.name}: expected finite numbers and plain values ({error})") from None
        if len(content) > layout.MAX_MANIFEST:
            raise BadManifest(f"{manifest.name}: its manifest has {len(content)} bytes, at most {layout.MAX_MANIFEST}")
        return Manifest.parse(content, f"draft of {manifest.name}")
