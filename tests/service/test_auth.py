"""Keys and scopes where there are keys, a Host allow-list where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.gate import scope_of
from service.keys import SCOPES, KeyLineError, KeyRing, KeyScope, new_key, parse_line
from service.settings import Settings
from tests.service.harness import Running, running

GOOD = {"model": "plain", "x": [[0.0]]}
TEXTS: dict[str, str] = {}


@pytest.fixture(scope="module")
def guarded(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    lines = ["# keys of the laboratory", ""]
    for scope in SCOPES:
        TEXTS[scope], key = new_key(f"{scope}-only", frozenset([scope]))
        lines.append(key.line)
    TEXTS["all"], key = new_key("all", frozenset(SCOPES))
    lines.append(key.line)
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    path.write_text("\n".join(lines))
    assert not any(text in path.read_text() for text in TEXTS.values())
    with running(store_path, keys_file=path) as service:
        yield service


ROUTES: list[tuple[str, str, KeyScope]] = [
    ("POST", "/loglik", "infer"),
    ("POST", "/sample", "infer"),
    ("POST", "/infer-condition", "infer"),
    ("POST", "/encode", "infer"),
    ("GET", "/models", "infer"),
    ("GET", "/models/plain", "infer"),
    ("GET", "/models/plain/versions/1", "infer"),
    ("GET", "/models/plain/versions/1/files/card.md", "infer"),
    ("GET", "/docs", "infer"),
    ("GET", "/openapi.json", "infer"),
    ("GET", "/metrics", "metrics"),
    ("POST", "/admin/reload", "admin"),
    ("PUT", "/models/plain/aliases/other", "admin"),
    ("GET", "/no-such-route", "infer"),
]


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TEXTS[name]}"}


@pytest.mark.parametrize(("method", "path", "needed"), ROUTES)
def test_every_route_needs_its_scope(guarded: Running, method: str, path: str, needed: KeyScope) -> None:
    missing = guarded.client.request(method, path)
    assert missing.status_code == 401
    assert missing.headers["www-authenticate"].startswith("Bearer")
    assert missing.headers["content-type"] == "application/problem+json"
    for scope in SCOPES:
        status = guarded.client.request(method, path, headers=bearer(scope)).status_code
        assert (status == 403) == (scope != needed), (scope, status)
    assert guarded.client.request(method, path, headers=bearer("all")).status_code not in (401, 403)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/", "/static/pages.css", "/static/playground.js"])
def test_health_and_playground_are_open(guarded: Running, path: str) -> None:
    assert guarded.client.get(path).status_code == 200


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer cf_wrong", "Basic {key}", "{key}", "Bearer {key}x", "Bearer {digest}", "Bearer \xe9"],
)
def test_401_for_bad_keys(guarded: Running, value: str) -> None:
    digest = guarded.server.parts.settings.keys_file.read_text().splitlines()[-1].split(":")[1]  # type: ignore[union-attr]
    header = value.format(key=TEXTS["all"], digest=digest).encode("latin-1")
    response = guarded.client.get("/models", headers={"Authorization": header})
    assert response.status_code == 401
    assert TEXTS["all"] not in response.text


def test_a_key_answers_questions(guarded: Running) -> None:
    assert guarded.client.post("/loglik", json=GOOD, headers=bearer("infer")).status_code == 200
    assert guarded.client.post("/loglik", json=GOOD, headers={"authorization": f"bearer {TEXTS['infer']}"}).is_success


def test_no_admin_routes_without_an_admin_key(service: Running, store_path: Path) -> None:
    assert service.client.post("/admin/reload").status_code == 404
    assert service.client.put("/models/plain/aliases/x", json={"version": 1}).status_code in (404, 405)
    _, key = new_key("someone", frozenset(["infer"]))
    ring = KeyRing((key,))
    assert not ring.has_scope("admin")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.", "[::2]:80", ""]
)
def test_host_allow_list(service: Running, host: str) -> None:
    for method, path in (("GET", "/livez"), ("POST", "/loglik")):
        response = service.client.request(method, path, headers={"Host": host})
        assert response.status_code == 403
        assert response.json()["type"].endswith(":host")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8000", "[::1]:8000", "[::1]"])
def test_allowed_hosts(service: Running, host: str) -> None:
    assert service.client.get("/livez", headers={"Host": host}).status_code == 200


def test_named_hosts_are_allowed(store_path: Path) -> None:
    with running(store_path, allowed_hosts="flows.example, other.example", ready=False) as service:
        for host, status in (("flows.example", 200), ("other.example:80", 200), ("evil.example", 403)):
            assert service.client.get("/livez", headers={"Host": host}).status_code == status


def test_keys_replace_the_host_list(guarded: Running) -> None:
    assert guarded.client.get("/models", headers={**bearer("infer"), "Host": "flows.example"}).status_code == 200


def test_no_cross_origin_answers(service: Running) -> None:
    """A page elsewhere can neither preflight a JSON request nor read an answer."""
    preflight = service.client.options("/loglik", headers={"Origin": "http://evil.example"})
    assert preflight.status_code == 405
    assert not any(name.startswith("access-control") for name in preflight.headers)
    simple = service.client.post("/loglik", content=b"{}", headers={"Content-Type": "text/plain"})
    assert simple.status_code == 415


@pytest.mark.parametrize(
    "line",
    [
        "",
        "name",
        "name:abc:infer",
        f"name:{'0' * 64}",
        f"name:{'0' * 64}:",
        f"name:{'0' * 64}:root",
        f"na me:{'0' * 64}:infer",
        f":{'0' * 64}:infer",
        f"name:{'G' * 64}:infer",
        f"name:{'0' * 64}:infer,root",
        f"name:{'0' * 64}:infer,infer",
    ],
)
def test_bad_key_lines_stop_the_start(line: str) -> None:
    with pytest.raises(KeyLineError):
        parse_line(line)


def test_names_are_unique() -> None:
    line = new_key("a", frozenset(["infer"]))[1].line
    with pytest.raises(KeyLineError, match="differ"):
        KeyRing.from_settings(Settings(keys=f"{line};{line}"))


def test_a_named_keys_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        KeyRing.from_settings(Settings(keys_file=tmp_path / "none"))


def test_scopes_are_denied_by_default() -> None:
    for path in ("/anything", "/models", "/static", "/livez/", "//", "/docs"):
        assert scope_of("GET", path) is not None


def test_key_texts_have_256_random_bits() -> None:
    texts = {new_key("a", frozenset(["infer"]))[0] for _ in range(100)}
    assert len(texts) == 100
    assert all(len(text) == 46 for text in texts)


def test_x_request_id(service: Running) -> None:
    for given in ("abc", "A.b_c-9", "x" * 64):
        assert service.client.get("/livez", headers={"X-Request-Id": given}).headers["x-request-id"] == given
    for given in ("", "x" * 65, "a b", "a/b", "ünï", "<script>", "a,b"):
        response = service.client.get("/livez", headers={"X-Request-Id": given.encode("latin-1")})
        made = response.headers["x-request-id"]
        assert made != given
        assert len(made) == 32
    twice = httpx.Headers([("X-Request-Id", "a"), ("X-Request-Id", "b")])
    assert service.client.get("/livez", headers=twice).headers["x-request-id"] not in ("a", "b", "a, b")


def test_headers_on_every_answer(service: Running) -> None:
    for path in ("/livez", "/models", "/nope", "/", "/docs", "/metrics"):
        headers = service.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "queue;dur=" in headers["server-timing"]
        assert "compute;dur=" in headers["server-timing"]
        assert "server" not in headers
