"""Requests one behind the other on one connection: answered in order, refused in order, and bounded in bytes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

import pytest

from service.pipelining import SLICE_BYTES, PipeliningProtocol
from service.protocol import HEAD_BYTES
from tests.service.harness import Running, running, until
from tests.service.slow import slow_down
from tests.service.test_streaming import counted, outcomes

ROWS = 25_000
HEAD = b"POST /loglik HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
PROBE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 150 + b"\r\n\r\n"
ONE_READ = 2**18
MOST = SLICE_BYTES // len(PROBE) + 1


def post(path: str, content: dict[str, Any], accept: str = "application/json") -> bytes:
    body = json.dumps(content).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def one_row(place: int) -> bytes:
    return post("/encode", {"model": "plain", "x": [[float(place)]]})


@contextmanager
def connected(service: Running, receive_bytes: int | None = None) -> Iterator[tuple[socket.socket, PipeliningProtocol]]:
    """A client's end and the service's."""
    connections = service.server.server_state.connections
    before = set(connections)
    with socket.socket() as connection:
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", service.port))
        until(lambda: set(connections) - before, "the connection")
        (protocol,) = set(connections) - before
        assert isinstance(protocol, PipeliningProtocol)
        yield connection, protocol


def next_answer(stream: BinaryIO) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body; status 0 where the connection has ended."""
    first = stream.readline()
    if not first:
        return 0, {}, b""
    headers = dict(line.rstrip().lower().split(b": ", 1) for line in iter(stream.readline, b"\r\n"))
    return int(first.split()[1]), headers, stream.read(int(headers[b"content-length"]))


def test_no_answer_is_computed_while_those_before_it_are_not_read(store_path: Path) -> None:
    seeds = range(150)
    asked = b"".join(
        post("/sample", {"model": "plain", "num_samples": ROWS, "seed": seed}, "application/x-npy") for seed in seeds
    )
    with running(store_path) as service, connected(service, 4096) as (connection, protocol):
        engine = counted(service, "plain")
        connection.sendall(asked)
        until(lambda: protocol.flow.write_paused, "a reader that takes nothing")
        neighbour = service.client.post("/sample", json={"model": "plain", "num_samples": ROWS})
        assert neighbour.status_code == 200
        until(lambda: service.parts.admission.requests == 0)
        assert engine.rows == ROWS * outcomes(service)["ok"] < ROWS * len(seeds) / 2
        with connection.makefile("rb") as stream:
            for seed in seeds:
                status, headers, body = next_answer(stream)
                assert (status, headers[b"x-condflow-seed"]) == (200, b"%d" % seed)
                assert len(body) > 4 * ROWS


def test_a_flood_of_requests_is_read_as_it_is_answered(store_path: Path) -> None:
    count = 6_000
    with running(store_path) as service, connected(service) as (connection, protocol):
        slow = slow_down(service, "plain")
        writing = Thread(target=connection.sendall, args=(one_row(0) + PROBE * count,))
        writing.start()
        until(lambda: protocol.flow.read_paused and slow.entered.is_set(), "the pause")
        assert 0 < len(protocol.pipeline) <= MOST
        assert len(protocol.flow.unparsed) < ONE_READ
        most = unparsed = 0
        slow.hold.set()
        with connection.makefile("rb") as stream:
            assert b"latent" in next_answer(stream)[2]
            for _ in range(count):
                assert next_answer(stream)[0] == 200
                most = max(most, len(protocol.pipeline))
                unparsed = max(unparsed, len(protocol.flow.unparsed))
        writing.join()
        assert most <= MOST and unparsed < ONE_READ


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\xff garbage \r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
@pytest.mark.parametrize("good", [1, 3])
def test_garbage_is_refused_after_the_answers_before_it(store_path: Path, garbage: bytes, good: int) -> None:
    with running(store_path) as service, connected(service) as (connection, _), connection.makefile("rb") as stream:
        slow = slow_down(service, "plain")
        connection.sendall(b"".join(one_row(place) for place in range(good)) + garbage)
        assert slow.entered.wait(60)
        assert service.client.get("/livez").status_code == 200  # by then the garbage was seen
        slow.hold.set()
        answers = [next_answer(stream) for _ in range(good)]
        assert [status for status, _, _ in answers] == [200] * good
        assert len({body for _, _, body in answers}) == good
        refused, headers, _ = next_answer(stream)
        assert (refused, headers[b"connection"]) == (431 if len(garbage) > HEAD_BYTES else 400, b"close")
        assert next_answer(stream)[0] == 0


def test_a_body_that_breaks_is_refused_though_its_request_waits_for_it(service: Running) -> None:
    with connected(service) as (connection, _), connection.makefile("rb") as stream:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nnot a size\r\n")
        assert next_answer(stream)[0] == 400
        assert next_answer(stream)[0] == 0


def test_a_request_that_comes_later_does_not_hide_that_the_client_left(store_path: Path) -> None:
    with running(store_path) as service:
        slow = slow_down(service, "plain")
        with connected(service) as (connection, protocol):
            connection.sendall(one_row(0))
            assert slow.entered.wait(60)
            connection.sendall(one_row(1))
            until(lambda: protocol.pipeline, "the second request")
        until(lambda: service.parts.admission.requests == 0, "the end of the request")
        slow.hold.set()
        until(lambda: not service.server.server_state.tasks)
        assert {name for (_, name), value in cancelled(service).items() if value} == {"encode"}
        assert sum(cancelled(service).values()) == 1


def cancelled(service: Running) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for (name, pairs), value in service.metrics().items():
        named = dict(pairs)
        if name == "condflow_requests_total" and named["outcome"] == "cancelled":
            found[(named["model"], named["operation"])] = value
    return found


def test_half_a_head_may_wait_while_the_request_before_it_is_answered(store_path: Path) -> None:
    with running(store_path, head_timeout_s=0.1) as service:
        slow = slow_down(service, "plain")
        with connected(service) as (connection, _), connection.makefile("rb") as stream:
            connection.sendall(one_row(0) + PROBE[:10])
            assert slow.entered.wait(60)
            with connected(service) as (later, _):
                later.sendall(PROBE[:10])
                assert later.recv(1) == b""  # its time was over, and so was that of the one before it
            slow.hold.set()
            assert next_answer(stream)[0] == 200
            assert next_answer(stream)[0] == 0
