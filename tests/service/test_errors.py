"""Every error of the contract over real HTTP: the status, a problem document, and a pointer to the field."""

from __future__ import annotations

import errno
import io
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from inference.engine import EngineError, EngineOutOfMemory
from service.settings import Limits
from tests.service.harness import Running, running, until

JSON = {"Content-Type": "application/json"}
GOOD = {"model": "labels", "x": [[0.0, 1.0]]}


def problem(response: httpx.Response, status: int, pointer: str | None = None) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["type"].startswith("urn:condflow:problem:")
    assert document["title"]
    assert document["detail"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in document["errors"]], document
    return document


@pytest.mark.parametrize(
    ("operation", "change", "pointer"),
    [
        ("loglik", {"x": [[0.0]]}, "/x/0"),
        ("loglik", {"x": None}, "/x"),
        ("loglik", {"condition": "nobody"}, "/condition"),
        ("loglik", {"condition": 3}, "/condition"),
        ("loglik", {"condition": -1}, "/condition"),
        ("loglik", {"condition": True}, "/condition"),
        ("loglik", {"condition": 1.0}, "/condition"),
        ("loglik", {"condition": [0, 1]}, "/condition"),
        ("loglik", {"condition": []}, "/condition"),
        ("loglik", {"condition": {"a": 1}}, "/condition"),
        ("loglik", {"draws": 0}, "/draws"),
        ("loglik", {"draws": 1.5}, "/draws"),
        ("loglik", {"draws": "3"}, "/draws"),
        ("loglik", {"seed": -1}, "/seed"),
        ("loglik", {"seed": 2**53}, "/seed"),
        ("loglik", {"seed": True}, "/seed"),
        ("loglik", {"class_prior": [0.5, 0.5]}, "/class_prior"),
        ("loglik", {"class_prior": [0.5, 0.5, 0.5]}, "/class_prior"),
        ("loglik", {"class_prior": [2, -1, 0]}, "/class_prior/0"),
        ("loglik", {"class_prior": [1, 0, 0], "condition": 1}, "/class_prior"),
        ("loglik", {"unknown": 1}, "/unknown"),
        ("loglik", {"model": 3}, "/model"),
        ("loglik", {"model": ""}, "/model"),
        ("loglik", {"version": 1.5}, "/version"),
        ("loglik", {"model": "plain", "x": [0.0], "condition": 1}, "/condition"),
        ("loglik", {"model": "vector", "x": [0.0]}, "/condition"),
        ("loglik", {"model": "image-condition", "x": [[[0, 0], [0, 0]]]}, "/condition"),
        ("loglik", {"model": "grey", "x": [[[0, 0], [0, 16]]]}, "/x/0/1/1"),
        ("loglik", {"model": "grey", "x": [[[0, 0], [0, 0.5]]]}, "/x/0/1/1"),
        ("loglik", {"model": "image-condition", "x": "aGk="}, "/x"),
        ("infer-condition", {"condition": 1}, "/condition"),
        ("infer-condition", {"model": "vector", "x": [0.0], "class_prior": [1]}, "/class_prior"),
        ("encode", {}, "/condition"),
        ("encode", {"condition": 0, "draws": 3}, "/draws"),
    ],
)
def test_422_names_the_field(service: Running, operation: str, change: dict[str, Any], pointer: str) -> None:
    problem(service.client.post(f"/{operation}", json={**GOOD, **change}), 422, pointer)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"condition": None}, "/condition"),
        ({"conditions": [0]}, "/conditions"),
        ({"condition": None, "conditions": 1}, "/conditions"),
        ({"condition": None, "conditions": []}, "/conditions"),
        ({"num_samples": 0}, "/num_samples"),
        ({"num_samples": 2.0}, "/num_samples"),
        ({"temperature": -1}, "/temperature"),
        ({"temperature": "hot"}, "/temperature"),
        ({"temperature": 1e300}, "/temperature"),
        ({"temperature": True}, "/temperature"),
        ({"seed": 2**53}, "/seed"),
        ({"shared_latent": 1}, "/shared_latent"),
        ({"latent": []}, "/latent"),
        ({"latent": {"y": [[0, 0]]}}, "/latent/y"),
        ({"latent": {"z": [[0]]}}, "/latent/z/0"),
        ({"latent": {"z": [0, 0]}}, "/latent/z"),
        ({"latent": {"z": [[0, 0]]}, "num_samples": 2}, "/latent/z"),
        ({"summary": ["mean"]}, "/summary"),
    ],
)
def test_422_of_sample(service: Running, change: dict[str, Any], pointer: str) -> None:
    body = {"model": "labels", "condition": 1, **change}
    problem(service.client.post("/sample", json={k: v for k, v in body.items() if v is not None}), 422, pointer)


def test_422_missing_fields_are_all_named(service: Running) -> None:
    document = problem(service.client.post("/loglik", json={"draws": "x"}), 422, "/x")
    assert {"/model", "/draws"} <= {error["pointer"] for error in document["errors"]}


@pytest.mark.parametrize(
    ("operation", "body", "reason"),
    [
        ("infer-condition", {"model": "plain", "x": [0.0]}, "no condition"),
        ("infer-condition", {"model": "image-condition", "x": [[[0, 0], [0, 0]]]}, "cannot give it back"),
        ("infer-condition", {"model": "vector", "x": [1e6]}, "effective sample size"),
        ("encode", {"model": "padded", "x": [0.0], "condition": 0}, "no `encode`"),
        ("loglik", {"model": "vector-joint", "x": [0.0], "condition": [0.0]}, "no `score`"),
        ("sample", {"model": "vector-joint", "condition": [0.0], "return_log_likelihood": True}, "no `score`"),
    ],
)
def test_422_cannot_answer_says_why(service: Running, operation: str, body: dict[str, Any], reason: str) -> None:
    document = problem(service.client.post(f"/{operation}", json=body), 422)
    assert document["type"].endswith("cannot-answer")
    assert reason in document["detail"]


@pytest.mark.parametrize(
    "name", ["nobody", "../labels", "labels/../x", "LABELS", "a" * 150, "ünï", "labels\u0000", "."]
)
def test_404_unknown_models(service: Running, name: str) -> None:
    problem(service.client.post("/loglik", json={**GOOD, "model": name}), 404, "/model")
    if name not in (".", "labels\u0000"):
        problem(service.client.get(f"/models/{name.replace('/', '%2F')}"), 404)


@pytest.mark.parametrize("version", [2, 0, -1, "2", "nobody", "f" * 12, "0" * 64, "../1", "1/2", "", "CHAMPION", 2**60])
def test_404_unknown_versions(service: Running, version: int | str) -> None:
    problem(service.client.post("/loglik", json={**GOOD, "version": version}), 404, "/version")


@pytest.mark.parametrize(
    "path", ["/nope", "/models/labels/nope", "/v1/models", "/sample/", "/static/nope.js", "/admin/reload"]
)
def test_404_routes(service: Running, path: str) -> None:
    problem(service.client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/sample"), ("POST", "/models"), ("DELETE", "/models/labels"), ("PUT", "/")]
)
def test_405(service: Running, method: str, path: str) -> None:
    problem(service.client.request(method, path), 405)


@pytest.mark.parametrize(
    "accept", ["text/html", "application/x-ndjson", "image/png", "application/json;q=0", "image/*"]
)
def test_406(service: Running, accept: str) -> None:
    problem(service.client.post("/loglik", json=GOOD, headers={"Accept": accept}), 406)


def test_406_for_pictures_of_numbers(service: Running) -> None:
    body = {"model": "labels", "condition": 0}
    problem(service.client.post("/sample", json=body, headers={"Accept": "image/png"}), 406)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("application/json;q=0.5, application/x-npz", "application/x-npz"),
        ("application/x-npy, application/x-npz;q=0.9", "application/x-npy"),
        ("application/*;q=0.1, application/json;q=0", "application/x-npz"),
        ("", "application/json"),
    ],
)
def test_accept_chooses(service: Running, accept: str, media: str) -> None:
    response = service.client.post("/loglik", json=GOOD, headers={"Accept": accept})
    assert response.headers["content-type"] == media


@pytest.mark.parametrize(
    "media",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/octet-stream", "json"],
)
def test_415(service: Running, media: str) -> None:
    headers = {"Content-Type": media} if media else {}
    problem(service.client.post("/loglik", content=b'{"model": "labels"}', headers=headers), 415)


def test_415_compressed_or_in_another_alphabet(service: Running) -> None:
    for headers in ({**JSON, "Content-Encoding": "gzip"}, {"Content-Type": "application/json; charset=latin-1"}):
        problem(service.client.post("/loglik", content=b"{}", headers=headers), 415)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "9" * 30, "²"])
def test_400_timeout_header(service: Running, value: str) -> None:
    document = problem(
        service.client.post("/loglik", json=GOOD, headers={"X-Request-Timeout-Ms": value.encode("latin-1")}), 400
    )
    assert document["errors"][0]["header"] == "X-Request-Timeout-Ms"


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1, 2), np.float32))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("query", "status", "pointer"),
    [
        ("model=labels&draws=x", 422, "/draws"),
        ("model=labels&draws=1.5", 422, "/draws"),
        ("model=labels&seed=99999999999999999999", 422, "/seed"),
        ("model=labels&condition=1", 422, "/condition"),
        ("model=labels&unknown=1", 422, "/unknown"),
        ("model=labels&model=plain", 400, "/model"),
        ("", 422, "/model"),
        ("model=nobody", 404, "/model"),
    ],
)
def test_query_of_binary_bodies(service: Running, query: str, status: int, pointer: str) -> None:
    headers = {"Content-Type": "application/x-npy"}
    problem(service.client.post(f"/loglik?{query}", content=npy(), headers=headers), status, pointer)


def test_query_beside_json_is_refused(service: Running) -> None:
    problem(service.client.post("/loglik?draws=3", json=GOOD), 422, "/draws")


LIMITS = Limits(
    rows=10,
    samples=20,
    draws=8,
    engine_rows=20,
    json_bytes=4000,
    binary_bytes=2000,
    answer_bytes=300,
    json_answer_bytes=400,
)


@pytest.fixture(scope="module")
def limited(store_path: Path) -> Any:
    with running(store_path, limits=LIMITS) as service:
        yield service


@pytest.mark.parametrize(
    ("operation", "body", "limit"),
    [
        ("loglik", {"model": "plain", "x": [[0.0]] * 11}, "rows"),
        ("loglik", {"model": "padded", "x": [0.0], "draws": 9}, "draws"),
        ("loglik", {"model": "padded", "x": [[0.0]] * 4, "draws": 100}, "draws"),
        ("loglik", {"model": "padded", "x": [[0.0]] * 4, "draws": 6}, "engine_rows"),
        ("infer-condition", {"model": "vector", "x": [0.0]}, "engine_rows"),
        ("sample", {"model": "plain", "num_samples": 21}, "samples"),
        ("sample", {"model": "labels", "conditions": [0] * 7, "num_samples": 3}, "samples"),
        ("sample", {"model": "labels", "condition": 0, "num_samples": 10**15}, "samples"),
        ("sample", {"model": "plain", "latent": {"z": [[0.0]] * 21}}, "samples"),
        ("sample", {"model": "labels", "condition": 0, "num_samples": 20}, "json_answer_bytes"),
        ("loglik", {"model": "plain", "x": [[0.0]], "unknown": "x" * 5000}, "json_bytes"),
    ],
)
def test_413_names_the_limit(limited: Running, operation: str, body: dict[str, Any], limit: str) -> None:
    document = problem(limited.client.post(f"/{operation}", json=body), 413)
    assert f"`{limit}`" in document["detail"]
    if limit.startswith("json"):
        assert "npz" in document["detail"]


def test_413_binary(limited: Running) -> None:
    headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npz"}
    document = problem(limited.client.post("/loglik?model=plain", content=bytes(3000), headers=headers), 413)
    assert "`binary_bytes`" in document["detail"]
    body = {"model": "labels", "condition": 0, "num_samples": 20, "return_latent": True}
    document = problem(limited.client.post("/sample", json=body, headers={"Accept": "application/x-npz"}), 413)
    assert "`answer_bytes`" in document["detail"]


def test_413_while_reading_a_body_of_unknown_length(limited: Running) -> None:
    pieces = (b" " * 1000 for _ in range(100))
    document = problem(limited.client.post("/loglik", content=pieces, headers=JSON), 413)
    assert "`json_bytes`" in document["detail"]


def test_limits_are_shown(limited: Running) -> None:
    assert limited.client.get("/models").json()["limits"] == LIMITS.model_dump()


class Slow:
    """Stands before an engine and holds its calls until released, or makes them fail."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.hold = threading.Event()
        self.entered = threading.Event()
        self.failure: Exception | None = None

    def run(self, operation: Any, inputs: Any) -> Any:
        self.entered.set()
        assert self.hold.wait(60)
        if self.failure is not None:
            raise self.failure
        return self.engine.run(operation, inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


def slow_down(service: Running, name: str) -> Slow:
    """Replace the engine of a loaded version; the rest of the service is real."""
    entry = service.parts.registry._entries[(name, 1)]
    slow = Slow(entry.loaded.engine)
    object.__setattr__(entry.loaded, "engine", slow)
    return slow


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
def test_garbage_on_the_socket_is_a_400(service: Running, request_: bytes) -> None:
    answer = raw(service, request_)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404")), answer[:200]
    assert service.client.get("/livez").status_code == 200


HEAD = b"POST /loglik HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HALF = HEAD + b"Content-Length: 500\r\n\r\n{"


def test_a_client_that_leaves_in_its_body(service: Running) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(HALF)
    until(lambda: service.parts.admission.requests == 0)
    assert service.client.post("/loglik", json=GOOD).status_code == 200


def test_408_a_body_that_does_not_come(store_path: Path) -> None:
    with (
        running(store_path, body_timeout_s=0.05) as service,
        socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection,
    ):
        connection.sendall(HALF)
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
