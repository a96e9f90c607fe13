"""Overload, deadlines, failing engines, and clients that send garbage, stall or leave."""

from __future__ import annotations

import errno
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from inference.engine import EngineError, EngineOutOfMemory
from service.registry import Registry
from tests.service.harness import Running, running, until
from tests.service.refusals import GOOD, problem
from tests.service.slow import slow_down


def test_503_overloaded_and_504_and_recovery(store_path: Path) -> None:
    with running(store_path, concurrent_requests=2, queue_rows=5) as service, ThreadPoolExecutor(4) as threads:
        slow = slow_down(service, "plain")
        body = {"model": "plain", "x": [[0.0]] * 4}
        first = threads.submit(lambda: httpx.post(service.url + "/loglik", json=body, timeout=60))
        assert slow.entered.wait(60)
        refused = problem(service.client.post("/loglik", json=body), 503)
        assert "rows" in refused["detail"]
        late = service.client.post("/loglik", json={**body, "x": [[0.0]]}, headers={"X-Request-Timeout-Ms": "50"})
        problem(late, 504)
        second = threads.submit(lambda: httpx.post(service.url + "/loglik", json={**body, "x": [[0.0]]}, timeout=60))
        until(lambda: service.parts.admission.requests == 2)
        response = service.client.post("/loglik", json=GOOD)
        refused = problem(response, 503)
        assert "requests are in progress" in refused["detail"]
        assert int(response.headers["retry-after"]) >= 1
        slow.hold.set()
        assert first.result().status_code == 200
        assert second.result().status_code == 200
        assert service.client.post("/loglik", json=GOOD).status_code == 200
        assert (service.parts.admission.rows, service.parts.admission.requests) == (0, 0)


def test_engine_failures(store_path: Path) -> None:
    with running(store_path) as service:
        slow = slow_down(service, "plain")
        slow.hold.set()
        slow.failure = EngineOutOfMemory("no memory")
        response = service.client.post("/loglik", json={"model": "plain", "x": [0.0]})
        problem(response, 503)
        assert response.headers["retry-after"]
        slow.failure = EngineError("secret /path")
        document = problem(service.client.post("/loglik", json={"model": "plain", "x": [0.0]}), 500)
        assert "secret" not in str(document)
        slow.failure = None
        assert service.client.post("/loglik", json={"model": "plain", "x": [0.0]}).status_code == 200


def test_a_route_that_fails_answers_as_the_operations_do(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the router answers passes FastAPI's own layers, which must not answer a failure in their words."""
    with running(store_path) as service:
        monkeypatch.setattr(Registry, "serving", property(lambda registry: {}["secret"]))
        response = service.client.get("/readyz")
        document = problem(response, 500)
        assert response.headers["x-request-id"] in document["detail"]
        assert "secret" not in str(document)
        labels = (("model", "unknown"), ("operation", "readyz"), ("outcome", "error"), ("version", "unknown"))
        until(lambda: service.metrics().get(("condflow_requests_total", labels)) == 1, "the request's count")


def test_503_draining(store_path: Path) -> None:
    with running(store_path) as service:
        service.parts.admission.state = "draining"
        for response in (service.client.post("/loglik", json=GOOD), service.client.get("/readyz")):
            assert problem(response, 503)["type"].endswith("draining")
            assert int(response.headers["retry-after"]) >= 1
        assert service.client.get("/livez").status_code == 200


def raw(service: Running, request: bytes) -> bytes:
    """The answer to raw bytes, up to the closing of the connection, which may come in the middle of them."""
    answer = b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                answer += piece
        except OSError as error:
            assert error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN), error
    return answer


REFUSALS = tuple(b"HTTP/1.1 %d" % status for status in (400, 404, 414, 431))


@pytest.mark.parametrize(
    "request_",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /loglik HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /loglik HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\0" * 1000,
    ],
)
def test_garbage_on_the_socket_is_refused(service: Running, request_: bytes) -> None:
    answer = raw(service, request_)
    assert answer == b"" or answer.startswith(REFUSALS), answer[:200]
    assert service.client.get("/livez").status_code == 200


HEAD = b"POST /loglik HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HALF = HEAD + b"Content-Length: 500\r\n\r\n{"


def test_a_client_that_leaves_in_its_body(service: Running) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(HALF)
    until(lambda: service.parts.admission.requests == 0)
    assert service.client.post("/loglik", json=GOOD).status_code == 200


def test_a_client_that_half_closes_counts_as_gone(store_path: Path) -> None:
    """The end of its stream is all that a closed connection shows too."""
    body = b'{"model": "plain", "x": [[0.0]]}'
    with (
        running(store_path) as service,
        socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection,
    ):
        slow = slow_down(service, "plain")
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert slow.entered.wait(60)
        connection.shutdown(socket.SHUT_WR)
        until(lambda: service.parts.admission.requests == 0, "the end of the request")
        slow.hold.set()
        assert connection.recv(65536) == b""


def test_408_a_body_that_does_not_come(store_path: Path) -> None:
    with (
        running(store_path, body_timeout_s=0.05) as service,
        socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection,
    ):
        connection.sendall(HALF)
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
