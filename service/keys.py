"""Keys: named, with scopes, kept as SHA-256.

A key line is `name:sha256-hex:scope,scope`; the key itself is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

from service.settings import Settings

KeyScope = Literal["infer", "metrics", "admin"]
SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class KeyLineError(ValueError):
    """A line of the keys file is not `name:sha256-hex:scope,scope`."""


@dataclass(frozen=True)
class Key:
    """A named key. `digest` is the SHA-256 of its text, in hex."""

    name: str
    digest: str
    scopes: frozenset[KeyScope]

    @property
    def line(self) -> str:
        """The line that stores it."""
        return f"{self.name}:{self.digest}:{','.join(sorted(self.scopes))}"


def new_key(name: str, scopes: frozenset[KeyScope]) -> tuple[str, Key]:
    """A random 256-bit key: its text, and what is stored of it."""
    text = "cf_" + secrets.token_urlsafe(32)
    return text, parse_line(Key(name, hashlib.sha256(text.encode()).hexdigest(), scopes).line)


def parse_line(line: str) -> Key:
    """Read one key line.

    >>> parse_line("lab:" + "0" * 64 + ":infer,metrics").scopes == {"infer", "metrics"}
    True
    """
    name, _, rest = line.strip().partition(":")
    digest, _, scopes = rest.partition(":")
    named = [scope for scope in SCOPES if scope in scopes.split(",")]
    if not _NAME.fullmatch(name) or not _DIGEST.fullmatch(digest) or not named or len(named) != len(scopes.split(",")):
        shown = repr(name[:64]) if rest else "without a colon"  # which may be a key itself, and is not repeated
        raise KeyLineError(
            f"key line {shown}: expected name:sha256-hex:scope,scope with scopes from {', '.join(SCOPES)}"
        )
    return Key(name, digest, frozenset(named))


class KeyRing:
    """All keys of the service; empty means that none is asked for."""

    def __init__(self, keys: tuple[Key, ...] = ()) -> None:
        names = [key.name for key in keys]
        if len(set(names)) != len(names):
            raise KeyLineError("key names must differ from each other")
        self.keys = keys

    @classmethod
    def from_settings(cls, settings: Settings) -> KeyRing:
        """The keys of `keys` and `keys_file` together. Who names a file wants keys: there must be some.

        Raises:
            KeyLineError: a line is malformed, names repeat, or a file is named and there is no key at all.
            OSError: the file cannot be read.
        """
        text = settings.keys.replace(";", "\n")
        if settings.keys_file is not None:
            text += "\n" + settings.keys_file.read_text()
        lines = (line.strip() for line in text.splitlines())
        ring = cls(tuple(parse_line(line) for line in lines if line and not line.startswith("#")))
        if settings.keys_file is not None and not ring:
            raise KeyLineError(f"the keys file {settings.keys_file} holds no key")
        return ring

    def __bool__(self) -> bool:
        return bool(self.keys)

    def has_scope(self, scope: KeyScope) -> bool:
        """Whether any key has `scope`."""
        return any(scope in key.scopes for key in self.keys)

    def find(self, text: str) -> Key | None:
        """The key with this text; every stored digest is compared, each in constant time."""
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found
