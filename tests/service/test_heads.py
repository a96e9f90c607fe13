"""What HTTP asks of heads: Host and other fields once, and HEAD wherever there is GET."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.service.harness import Running, running
from tests.service.refusals import problem
from tests.service.test_pipelining import connected, next_answer, one_row

PROBE = b"GET /livez HTTP/1.1\r\n%s\r\n"


def ask(service: Running, request: bytes) -> tuple[int, bytes]:
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(request)
        status, _, body = next_answer(stream)
        return status, body


@pytest.mark.parametrize("allowed", [None, "*"], ids=["host list", "any host"])
def test_host_once(service: Running, store_path: Path, allowed: str | None) -> None:
    if allowed is None:
        check_hosts(service)
        return
    with running(store_path, allowed_hosts=allowed, ready=False) as open_to_all:
        check_hosts(open_to_all)


def check_hosts(service: Running) -> None:
    assert ask(service, PROBE % b"Host: localhost\r\n")[0] == 200
    for hosts in (b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: localhost\r\nhost: evil.example\r\n"):
        status, body = ask(service, PROBE % hosts)
        assert status == 400
        (error,) = json.loads(body)["errors"]
        assert error["header"] == "Host"
    assert ask(service, (PROBE % b"").replace(b"HTTP/1.1", b"HTTP/1.0"))[0] == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Type", "application/json"),
        ("Content-Type", "application/x-npy"),
        ("X-Request-Timeout-Ms", "1000"),
        ("Authorization", "Bearer nothing"),
    ],
)
def test_fields_of_one_value_are_not_repeated(service: Running, name: str, value: str) -> None:
    field = f"{name}: {value}\r\n".encode()
    extra = field if name == "Content-Type" else 2 * field
    line, rest = one_row(1).split(b"\r\n", 1)
    status, body = ask(service, line + b"\r\n" + extra + rest)
    assert status == 400
    document = json.loads(body)
    assert document["errors"][0]["header"] == name
    assert name in document["detail"]


def test_other_fields_may_be_repeated(service: Running) -> None:
    line, rest = one_row(1).split(b"\r\n", 1)
    twice = b"Accept: application/x-npz;q=0.1\r\nAccept: application/json\r\nCookie: a=1\r\nCookie: b=2\r\n"
    assert ask(service, line + b"\r\n" + twice + rest)[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/docs", "/openapi.json", "/metrics", "/models", "/models/plain", "/v2"]
)
def test_head_is_get_without_its_body(service: Running, path: str) -> None:
    got, head = service.client.get(path), service.client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":  # whose length changes
        assert head.headers["content-length"] == str(len(got.content))


def test_the_connection_goes_on_after_head(service: Running) -> None:
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(b"HEAD /docs HTTP/1.1\r\nHost: localhost\r\n\r\n" + one_row(1))
        assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
        while stream.readline() != b"\r\n":
            pass
        assert next_answer(stream)[0] == 200


def test_head_of_what_is_not_there(service: Running) -> None:
    assert service.client.head("/models/nobody").status_code == 404
    refused = service.client.head("/loglik")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert "GET, HEAD" in problem(service.client.put("/livez"), 405)["detail"]
