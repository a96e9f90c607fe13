"""What models, aliases and files may be called, and how a reference to a version is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from model_store.errors import BadName, BadReference

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_DIGEST_PREFIX = re.compile(r"[0-9a-f]{12,64}")
_PATH_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MAX_PATH = 255


def is_name(name: object) -> bool:
    """Whether a model may be called so."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """`name`, if a model may be called so; else BadName.

    >>> check_name("fashion-mnist")
    'fashion-mnist'
    """
    if not is_name(name):
        raise BadName(f"model name {name!r}: expected 1 to 64 of a-z 0-9 . _ - beginning with a letter or digit")
    return name


def check_alias(alias: str) -> str:
    """`alias`, if it cannot be mistaken for a version number or a digest; else BadName."""
    if not is_name(alias):
        raise BadName(f"alias {alias!r}: expected 1 to 64 of a-z 0-9 . _ - beginning with a letter or digit")
    if not is_alias(alias):
        raise BadName(f"alias {alias!r}: all digits would read as a version, 12 or more of 0-9 a-f as a digest")
    return alias


def is_alias(alias: object) -> bool:
    """Whether an alias may be called so."""
    return is_name(alias) and not str(alias).isdigit() and not _DIGEST_PREFIX.fullmatch(str(alias))


def check_path(path: str) -> str:
    """`path`, if it is a relative path inside a version: plain parts, no `..`, no leading slash; else BadName."""
    parts = path.split("/") if isinstance(path, str) else []
    if not parts or len(path) > _MAX_PATH or not all(_PATH_PART.fullmatch(part) for part in parts):
        raise BadName(f"file path {path!r}: expected plain parts of A-Z a-z 0-9 . _ - joined by /, none hidden or '..'")
    return path


def version_number(stem: str) -> int | None:
    """The number that a file stem spells, or None.

    >>> version_number("12"), version_number("012"), version_number("x")
    (12, None, None)
    """
    return int(stem) if _NUMBER.fullmatch(stem) else None


@dataclass(frozen=True)
class Reference:
    """How somebody names a version: its number, an alias, a digest (prefix), or nothing."""

    kind: Literal["default", "number", "digest", "alias"]
    number: int = 0
    text: str = ""


def parse_reference(reference: int | str | None) -> Reference:
    """Read a reference: int or digits, 12 to 64 hex digits, an alias, or None for the default.

    >>> parse_reference("3").number, parse_reference("champion").kind, parse_reference("0123456789ab").kind
    (3, 'alias', 'digest')
    """
    if reference is None:
        return Reference("default")
    if isinstance(reference, int) and not isinstance(reference, bool) and 1 <= reference < 10**9:
        return Reference("number", number=reference)
    if isinstance(reference, str):
        if _NUMBER.fullmatch(reference):
            return Reference("number", number=int(reference))
        if _DIGEST_PREFIX.fullmatch(reference):
            return Reference("digest", text=reference)
        if _NAME.fullmatch(reference) and not reference.isdigit():
            return Reference("alias", text=reference)
    raise BadReference(
        f"version {reference!r}: expected a number from 1, an alias, or 12 to 64 lower-case hex digits of a digest"
    )


def parse_model(text: str) -> tuple[str, str | None]:
    """Split `NAME[@REFERENCE]`.

    >>> parse_model("digits@champion"), parse_model("digits")
    (('digits', 'champion'), ('digits', None))
    """
    name, at, reference = text.partition("@")
    return check_name(name), reference if at else None
