"""Clients that offer another protocol in their head are answered in HTTP/1.1, and so is what they send behind it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess

import pytest

from tests.service.harness import Running
from tests.service.test_pipelining import connected, next_answer, one_row

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
WEBSOCKET = b"connection: keep-alive , upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n"
CLOSING = b"Connection: close\r\nConnection: UPGRADE\r\nUpgrade: h2c\r\n"


def offering(request: bytes, offer: bytes) -> bytes:
    line, rest = request.split(b"\r\n", 1)
    return line + b"\r\n" + offer + rest


def in_chunks(request: bytes) -> bytes:
    """The same body under Transfer-Encoding: chunked."""
    head, body = request.split(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:7], body[7:]))
    return b"\r\n".join((*lines, b"Transfer-Encoding: chunked", b"", b"")) + pieces + b"0\r\n\r\n"


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("chunked", [False, True])
def test_offers_are_ignored_and_what_follows_is_answered(service: Running, offer: bytes, chunked: bool) -> None:
    requests = [offering(one_row(place), offer) for place in range(4)]
    requests[3] = one_row(3)
    if chunked:
        requests = [in_chunks(request) for request in requests]
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(b"".join(requests))
        pipelined = [next_answer(stream) for _ in requests]
        connection.sendall(offering(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", offer))
        assert next_answer(stream)[0] == 200
    assert [status for status, _, _ in pipelined] == [200] * 4
    plain = [service.client.post("/encode", json={"model": "plain", "x": [[float(place)]]}) for place in range(4)]
    assert [json.loads(body)["latent"] for _, _, body in pipelined] == [answer.json()["latent"] for answer in plain]


def test_an_offer_may_come_in_any_pieces(service: Running) -> None:
    request = offering(one_row(1), H2C)
    whole = offering(one_row(1), H2C) + one_row(2)
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(request)):
            connection.sendall(whole[place : place + 1])
        connection.sendall(whole[len(request) :])
        first, second = next_answer(stream), next_answer(stream)
    assert (first[0], second[0]) == (200, 200)
    assert first[2] != second[2]


def test_what_else_the_head_says_stays(service: Running) -> None:
    asked = offering(one_row(1), b"X-Request-Id: it-is-me\r\n" + CLOSING)
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(asked)
        status, headers, _ = next_answer(stream)
        assert (status, headers[b"x-request-id"], headers[b"connection"]) == (200, b"it-is-me", b"close")
        assert next_answer(stream)[0] == 0


def test_http_1_0_may_offer_too(service: Running) -> None:
    asked = offering(one_row(1), H2C).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(asked)
        assert next_answer(stream)[0] == 200
        assert next_answer(stream)[0] == 0


def test_an_offer_waits_for_100_continue_as_others_do(service: Running) -> None:
    head, body = offering(one_row(1), H2C + b"Expect: 100-continue\r\n").split(b"\r\n\r\n")
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(head + b"\r\n\r\n")
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert stream.readline() == b"\r\n"
        connection.sendall(body)
        assert next_answer(stream)[0] == 200


def test_a_tunnel_is_refused(service: Running) -> None:
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(b"CONNECT /loglik HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert next_answer(stream)[0] == 405
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert next_answer(stream)[0] == 400


def test_nothing_is_logged_of_an_offer(service: Running, caplog: pytest.LogCaptureFixture) -> None:
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(offering(one_row(1), H2C))
        assert next_answer(stream)[0] == 200
    assert not caplog.records


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_that_offers_http_2(service: Running) -> None:
    body = json.dumps({"model": "plain", "x": [[1.0]]})
    command = ["curl", "-sS", "--http2", f"{service.url}/loglik", "-H", "Content-Type: application/json", "-d", body]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "log_likelihood" in json.loads(done.stdout)
