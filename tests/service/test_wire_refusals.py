"""What is no request at all is refused with a problem document too, and its connection ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.protocol import HEAD_BYTES
from tests.service.harness import Running
from tests.service.test_pipelining import connected, next_answer

HOST = b"Host: localhost\r\n"


def refused(service: Running, sent: bytes, status: int) -> dict[str, Any]:
    """The problem document of the refusal."""
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(sent)
        found, headers, body = next_answer(stream)
        assert found == status, body
        assert (headers[b"content-type"], headers[b"connection"]) == (b"application/problem+json", b"close")
        assert stream.read() == b""
    document: dict[str, Any] = json.loads(body)
    assert document["status"] == status
    assert document["title"] and document["type"].startswith("urn:condflow:problem:")
    return document


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"hello\r\n\r\n", "method"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "Content-Length"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X\0: 1\r\n\r\n", "header"),
        (b"GET http://[ HTTP/1.1\r\n" + HOST + b"\r\n", "target"),
    ],
)
def test_garbage_is_refused_with_its_reason(service: Running, sent: bytes, reason: str) -> None:
    detail = refused(service, sent, 400)["detail"]
    assert detail.startswith("expected an HTTP/1.1 request")
    assert reason in detail


def test_a_head_without_end_is_431(service: Running) -> None:
    line = b"X: " + b"a" * 1000 + b"\r\n"
    detail = refused(service, b"GET / HTTP/1.1\r\n" + line * (HEAD_BYTES // len(line) + 1), 431)["detail"]
    assert "head" in detail and str(HEAD_BYTES) in detail


def test_a_target_without_end_is_414(service: Running) -> None:
    detail = refused(service, b"GET /?" + b"a" * HEAD_BYTES, 414)["detail"]
    assert "target" in detail and str(HEAD_BYTES) in detail


@pytest.mark.parametrize("begun", [b"hello\r\n\r\n", b"GET /?", b"GET / HTTP/1.1\r\nX: "])
def test_a_client_that_goes_on_sending_still_reads_why_it_was_refused(service: Running, begun: bytes) -> None:
    """Closing on what was not read would reset the connection, and fail the client before it reads."""
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(begun + b"a" * 30 * HEAD_BYTES)
        assert next_answer(stream)[0] in (400, 414, 431)
        assert stream.read() == b""


def test_a_client_that_never_stops_sending_is_cut_off(service: Running) -> None:
    with connected(service) as (connection, _), pytest.raises(OSError):
        while True:
            connection.sendall(b"a" * HEAD_BYTES)
