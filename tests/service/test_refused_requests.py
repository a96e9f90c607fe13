"""Refusals of what is not there and of how it is asked: 404 to 406, 415, headers and query parameters."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tests.service.harness import Running
from tests.service.refusals import GOOD, JSON, problem


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
