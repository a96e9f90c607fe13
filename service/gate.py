"""Who may ask what: a key with the route's scope, or a Host allow-list where there are no keys."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from service.followed_keys import FollowedKeys
from service.heads import read_head
from service.keys import KeyScope
from service.problems import Problem


def scope_of(method: str, path: str) -> KeyScope | None:
    """The scope a route needs, None for health, the playground and its static files. Unknown routes need a key too."""
    if path in ("/", "/livez", "/readyz", "/v2/health/live", "/v2/health/ready") or path.startswith("/static/"):
        return None
    if path == "/metrics":
        return "metrics"
    if path.startswith("/admin/") or (path.startswith("/models/") and method not in ("GET", "HEAD")):
        return "admin"
    return "infer"


class Gate:
    """Pure ASGI middleware: keys when there are any, else the Host allow-list (against DNS rebinding)."""

    def __init__(self, app: ASGIApp, keys: FollowedKeys, hosts: tuple[str, ...] | None) -> None:
        self.app = app
        self.keys = keys
        self.hosts = None if keys.ring or hosts is None else {host.lower() for host in hosts}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Refuse, or pass on."""
        try:
            self.check(scope)
        except Problem as problem:
            return problem.response(scope)(scope, receive, send)
        return self.app(scope, receive, send)

    def check(self, scope: Scope) -> None:
        """Name the tenant in the request's record, or raise Problem: 400, 401 or 403."""
        named = read_head(scope)
        if self.hosts is not None and b"host" in named and _hostname(named[b"host"]) not in self.hosts:
            host = named[b"host"].decode("latin-1")
            raise Problem(403, "host", f"host {host[:100]!r} is not allowed; set CONDFLOW_ALLOWED_HOSTS to add it")
        ring = self.keys.ring
        if not ring.keys:
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        needed = scope_of(scope["method"], path)
        if needed is None:
            return
        scheme, _, text = named.get(b"authorization", b"").decode("latin-1").partition(" ")
        key = ring.find(text.strip()) if scheme.lower() == "bearer" else None
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


@lru_cache(maxsize=64)
def _hostname(value: bytes) -> str:
    host = value.decode("latin-1").strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rsplit(":", 1)[0] if host.count(":") == 1 else host
