"""Who may ask: named keys with scopes, kept as SHA-256, and a Host allow-list where there are none.

A key line is `name:sha256-hex:scope,scope`; the key itself is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.problems import Problem
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
        raise KeyLineError(
            f"key line {name[:64]!r}: expected name:sha256-hex:scope,scope with scopes from {', '.join(SCOPES)}"
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
        """The keys of `keys` and `keys_file` together. A named file must exist."""
        text = settings.keys.replace(";", "\n")
        if settings.keys_file is not None:
            text += "\n" + settings.keys_file.read_text()
        lines = (line.strip() for line in text.splitlines())
        return cls(tuple(parse_line(line) for line in lines if line and not line.startswith("#")))

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


def scope_of(method: str, path: str) -> KeyScope | None:
    """The scope a route needs, None for health, the playground and its static files. Unknown routes need a key too."""
    if path in ("/", "/livez", "/readyz") or path.startswith("/static/"):
        return None
    if path == "/metrics":
        return "metrics"
    if path.startswith("/admin/") or (path.startswith("/models/") and method not in ("GET", "HEAD")):
        return "admin"
    return "infer"


class Gate:
    """Pure ASGI middleware: keys when there are any, else the Host allow-list (against DNS rebinding)."""

    def __init__(self, app: ASGIApp, ring: KeyRing, hosts: tuple[str, ...] | None) -> None:
        self.app = app
        self.ring = ring
        self.hosts = None if ring or hosts is None else {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        if self.hosts is not None and (len(named) > 1 or any(_hostname(host) not in self.hosts for host in named)):
            raise Problem(403, "host", f"host {named[0][:100]!r} is not allowed; set CONDFLOW_ALLOWED_HOSTS to add it")
        if not self.ring:
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        needed = scope_of(scope["method"], path)
        if needed is None:
            return
        scheme, _, text = headers.get("authorization", "").partition(" ")
        key = self.ring.find(text.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise Problem(
                401,
                "key",
                "this service needs a key: Authorization: Bearer <key>",
                headers={"WWW-Authenticate": 'Bearer realm="condflow"'},
            )
        if needed not in key.scopes:
            raise Problem(403, "scope", f"this route needs the scope `{needed}`, which this key does not have")
        scope["condflow.record"].tenant = key.name


def _hostname(host: str) -> str:
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rsplit(":", 1)[0] if host.count(":") == 1 else host
