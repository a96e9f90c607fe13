"""One named exception for each refusal of the store; each message names the thing and what was expected."""

from __future__ import annotations


class StoreError(Exception):
    """Base of everything the store refuses."""


class BadName(StoreError):
    """A model name, alias or file path that does not follow the rules."""


class BadReference(StoreError):
    """A reference that is neither a version number, nor an alias, nor a digest."""


class UnknownModel(StoreError):
    """No version was ever published under this name."""


class UnknownVersion(StoreError):
    """The model has no such version, alias or digest."""


class UnknownFile(StoreError):
    """The version has no file of that path."""


class AmbiguousDigest(StoreError):
    """A digest prefix that several versions share."""


class Deleted(StoreError):
    """The version carries a tombstone."""


class BlobMissing(StoreError):
    """A blob that a manifest names is not there."""


class BlobChanged(StoreError):
    """The bytes of a blob do not match the digest or the size in the manifest."""


class BadManifest(StoreError):
    """A manifest that is truncated, malformed, not canonical, or not in its place."""


class UnknownSchemaVersion(StoreError):
    """A manifest written by a newer (or foreign) version of the store."""


class BadAlias(StoreError):
    """An alias record that is truncated, malformed, or names another version than it claims."""


class AliasConflict(StoreError):
    """Somebody else moved the alias first."""


class AliasInUse(StoreError):
    """A version that an alias points to cannot be deleted unless forced."""


class NothingToRollBack(StoreError):
    """The alias has no earlier version that still exists."""


class IrregularFile(StoreError):
    """A link, a device or a directory where a regular file of the store was expected."""


class BadStore(StoreError):
    """The path is not a store."""


class VersionTaken(StoreError):
    """An archive's version number is taken by other content."""


class BadArchive(StoreError):
    """Not an archive of this format."""


class BadArchiveMember(BadArchive):
    """A member that is a link, compressed, encrypted, duplicated, unexpected, missing or badly named."""


class ArchiveTooLarge(BadArchive):
    """An archive, or one of its members, beyond the size caps."""
