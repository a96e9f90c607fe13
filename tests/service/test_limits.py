"""Past a limit the answer is 413 and names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.settings import Limits
from tests.service.harness import Running, running
from tests.service.refusals import JSON, problem

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
    ("operation", "body", "limit", "pointer"),
    [
        ("loglik", {"model": "plain", "x": [[0.0]] * 11}, "rows", "/x"),
        ("loglik", {"model": "padded", "x": [0.0], "draws": 9}, "draws", "/draws"),
        ("loglik", {"model": "padded", "x": [[0.0]] * 4, "draws": 100}, "draws", "/draws"),
        ("loglik", {"model": "padded", "x": [[0.0]] * 4, "draws": 6}, "engine_rows", "/x"),
        ("infer-condition", {"model": "vector", "x": [0.0]}, "engine_rows", "/x"),
        ("sample", {"model": "plain", "num_samples": 21}, "samples", "/num_samples"),
        ("sample", {"model": "labels", "conditions": [0] * 7, "num_samples": 3}, "samples", "/num_samples"),
        ("sample", {"model": "labels", "conditions": [0] * 21}, "samples", "/conditions"),
        ("sample", {"model": "labels", "condition": 0, "num_samples": 10**15}, "samples", "/num_samples"),
        ("sample", {"model": "plain", "latent": {"z": [[0.0]] * 21}}, "samples", "/num_samples"),
        ("sample", {"model": "labels", "condition": 0, "num_samples": 20}, "json_answer_bytes", "/num_samples"),
        ("loglik", {"model": "plain", "x": [[0.0]] * 10}, "json_answer_bytes", "/x"),
        ("sample", {"model": "labels", "conditions": [0] * 20}, "json_answer_bytes", "/conditions"),
        ("loglik", {"model": "plain", "x": [[0.0]], "unknown": "x" * 5000}, "json_bytes", None),
    ],
)
def test_413_names_the_limit(
    limited: Running, operation: str, body: dict[str, Any], limit: str, pointer: str | None
) -> None:
    document = problem(limited.client.post(f"/{operation}", json=body), 413, pointer)
    if pointer is None:
        assert document["errors"][0]["header"] == "Content-Length"
    assert f"`{limit}`" in document["detail"]
    if limit.startswith("json"):
        assert "npz" in document["detail"]


def test_413_binary(limited: Running) -> None:
    headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npz"}
    document = problem(limited.client.post("/loglik?model=plain", content=bytes(3000), headers=headers), 413)
    assert "`binary_bytes`" in document["detail"]
    body = {"model": "labels", "condition": 0, "num_samples": 20, "return_latent": True}
    refused = limited.client.post("/sample", json=body, headers={"Accept": "application/x-npz"})
    document = problem(refused, 413, "/num_samples")
    assert "`answer_bytes`" in document["detail"]


def test_413_while_reading_a_body_of_unknown_length(limited: Running) -> None:
    pieces = (b" " * 1000 for _ in range(100))
    document = problem(limited.client.post("/loglik", content=pieces, headers=JSON), 413)
    assert "`json_bytes`" in document["detail"]


def test_limits_are_shown(limited: Running) -> None:
    assert limited.client.get("/models").json()["limits"] == LIMITS.model_dump()
